//! What a peer's hot loop is made of.
//!
//! In: a disassembly by objdump, or an assembler's text (AT&T syntax both). Out: the innermost loop that computes most on floats: its width, its length, what
//! it calls. Holds: only arithmetic counts, not moves or fills, so that a memset is not taken for a vectorised kernel.

use std::collections::HashMap;
use std::fmt;

/// An innermost loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Bits of its widest arithmetic on packed floats; 64 if it is scalar.
    pub width: u32,
    /// Instructions.
    pub length: usize,
    /// Functions that it calls, sorted.
    pub calls: Vec<String>,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width {
            64 => f.write_str("scalar")?,
            width => write!(f, "{width} bits")?,
        }
        write!(f, ", {} instructions", self.length)?;
        if !self.calls.is_empty() {
            write!(f, ", calls {}", self.calls.join(", "))?;
        }
        Ok(())
    }
}

struct Inst<'t> {
    mnemonic: &'t str,
    operands: &'t str,
}

/// Of the innermost loops in functions that `wanted` picks by name, the one with the most arithmetic on floats, counted in bits.
pub fn hottest(text: &str, wanted: impl Fn(&str) -> bool) -> Option<Loop> {
    let mut insts = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        // `0000000000401136 <pi._omp_fn.0>:` of objdump, `_ZN4pi…:` of an assembler.
        if let Some(label) = trimmed.strip_suffix(':')
            && !line.starts_with([' ', '\t'])
        {
            let symbol = label.split_once('<').map_or(label, |(_, name)| name.trim_end_matches('>'));
            if !symbol.starts_with(".L") {
                inside = wanted(symbol.trim_matches('"'));
            }
            places.insert(label, insts.len());
            continue;
        }
        if !inside || trimmed.starts_with(['.', '#']) || trimmed.is_empty() {
            continue;
        }
        let mut rest = trimmed;
        // `401136:\tvmovapd %zmm0,%zmm1`
        if let Some((address, inst)) = trimmed.split_once(":\t") {
            places.insert(address, insts.len());
            rest = inst.trim();
        }
        let (mnemonic, operands) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        insts.push(Inst { mnemonic, operands: operands.trim() });
    }
    let back = |(at, inst): (usize, &Inst<'_>)| {
        let target = inst.operands.split_whitespace().next()?;
        let start = *places.get(target)?;
        (inst.mnemonic.starts_with('j') && start <= at).then_some((start, at))
    };
    let loops: Vec<(usize, usize)> = insts.iter().enumerate().filter_map(back).collect();
    let innermost = loops.iter().filter(|&&(start, end)| {
        !loops.iter().any(|&(low, high)| (low, high) != (start, end) && start <= low && high <= end)
    });
    let weighed = innermost.map(|&(start, end)| summary(&insts[start..=end]));
    weighed.max_by_key(|(weight, _)| *weight).map(|(_, found)| found)
}

/// How many instructions a function of mathematics stands for, roughly.
const CALL_WEIGHT: u32 = 16;

fn summary(insts: &[Inst<'_>]) -> (u32, Loop) {
    let calls = || insts.iter().filter(|inst| inst.mnemonic.starts_with("call"));
    let mut names: Vec<String> = calls().map(|inst| called(inst).to_string()).collect();
    names.sort_unstable();
    names.dedup();
    let widths = insts.iter().map(width);
    let called_widths = || calls().map(|inst| called_width(called(inst)));
    let weight = widths.clone().sum::<u32>() + CALL_WEIGHT * called_widths().sum::<u32>();
    let width = widths.chain(called_widths()).max().unwrap_or(0).max(64);
    (weight, Loop { width, length: insts.len(), calls: names })
}

/// `call 2220 <_ZGVeN8v_exp@plt>`
fn called<'t>(inst: &Inst<'t>) -> &'t str {
    let operand = inst.operands;
    let name = operand.split_once('<').map_or(operand, |(_, name)| name.trim_end_matches('>'));
    name.split('@').next().unwrap_or(name)
}

/// Bits that a function of mathematics works on; 0 for any other. In `_ZGVeN8v_exp`, of libmvec, the letter tells.
fn called_width(name: &str) -> u32 {
    match name.strip_prefix("_ZGV").and_then(|rest| rest.chars().next()) {
        Some('e') => 512,
        Some('c' | 'd') => 256,
        Some('b') => 128,
        Some(_) => 0,
        None if ["exp", "log", "sin", "cos", "erfc"].contains(&name) => 64,
        None => 0,
    }
}

/// Bits of an instruction's arithmetic on floats; 0 if it does none.
fn width(inst: &Inst<'_>) -> u32 {
    let name = inst.mnemonic.strip_prefix('v').unwrap_or(inst.mnemonic);
    let arithmetic = ["add", "sub", "mul", "div", "sqrt", "max", "min", "fma", "fms", "fnm", "rsqrt", "cmp"]
        .iter()
        .any(|start| name.starts_with(start));
    let packed = name.ends_with("pd") || name.ends_with("ps");
    match inst.operands {
        _ if !arithmetic => 0,
        _ if name.ends_with("sd") || name.ends_with("ss") => 64,
        _ if !packed => 0,
        operands if operands.contains("zmm") => 512,
        operands if operands.contains("ymm") => 256,
        _ => 128,
    }
}

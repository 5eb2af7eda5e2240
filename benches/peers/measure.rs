//! Runs Kiln and its peers in turn.
//!
//! In: a row, who is there, how many pairs. Out: a [`Outcome`]: times, ratios with intervals, whether results agree. Holds: a ratio is taken within a
//! pair of calls that follow each other, so what slows the machine for longer than a pair slows both; first calls are not counted.

use super::inputs::{Elem, Spec};
use super::listing::{Loop, hottest};
use super::peer::{Form, Peer, Run};
use super::rows::{Agree, Rival, Row, Who, distance};
use super::setup::Peers;
use super::stats::{Interval, interval};
use kiln::IsaCap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Calls before the first that counts.
const WARM_UP: usize = 2;
/// Before each call, so that threads that spin after a parallel loop have gone to sleep.
const PAUSE: Duration = Duration::from_millis(4);
/// A row counts as reached at this share of its figure.
pub const MARGIN: f64 = 0.95;

/// What came of a row.
pub struct Outcome {
    /// The row.
    pub row: &'static Row,
    /// Kiln's time, or why there is none.
    pub kiln: Result<Interval, String>,
    /// Against the peers.
    pub rivals: Vec<Comparison>,
    /// Against Kiln on fewer instructions.
    pub caps: Vec<Comparison>,
    /// Source to callable.
    pub compile: Option<Interval>,
    /// The same of Numba.
    pub numba_compile: Option<Interval>,
}

/// Two programs compared.
pub struct Comparison {
    /// Who is judged; for rivals, Kiln.
    pub subject: String,
    /// Against whom.
    pub title: String,
    /// What is to be reached.
    pub figure: Option<f64>,
    /// What was measured, or why nothing was.
    pub measured: Result<Measured, String>,
    /// The other's hot loop.
    pub hot: Option<Loop>,
}

/// Times in nanoseconds.
pub struct Measured {
    /// Of the other.
    pub time: Interval,
    /// Other's time by the subject's, pair by pair; `None` if there is no subject.
    pub ratio: Option<Interval>,
    /// The same with outputs made inside.
    pub fresh: Option<Interval>,
    /// How far the results are apart, in the unit of the row's tolerance.
    pub apart: Option<f64>,
}

impl Comparison {
    /// Is the figure reached? `None` if there is none, or nothing to judge.
    pub fn reached(&self) -> Option<bool> {
        let figure = self.figure?;
        match &self.measured {
            Ok(Measured { ratio: Some(ratio), .. }) => Some(ratio.low >= MARGIN * figure),
            Ok(_) => Some(false),
            Err(_) => None,
        }
    }
}

/// Who is there, and how to measure.
pub struct Bench {
    /// The peers.
    pub peers: Peers,
    /// Pairs for each ratio.
    pub pairs: usize,
    /// Compilations of each kernel by Kiln, and by Numba.
    pub compiles: (usize, usize),
    /// Threads of each side.
    pub threads: usize,
    /// Where results and listings go.
    pub folder: PathBuf,
}

impl Bench {
    /// A Kiln worker.
    pub fn kiln(&self, isa: Option<IsaCap>) -> Result<Peer, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("--worker").arg("--threads").arg(self.threads.to_string());
        let title = match isa {
            Some(cap) => {
                command.arg("--isa").arg(cap.name());
                format!("Kiln {}", cap.name())
            }
            None => "Kiln".to_string(),
        };
        Peer::start(&title, command)
    }

    /// Measures a row.
    pub fn measure(&self, row: &'static Row) -> Result<Outcome, String> {
        let mut kiln = self.kiln(None)?;
        let prepared = kiln.command(&prepare(row, row.name));
        let mut own = Vec::new();
        let mut subject = prepared.is_ok().then_some(&mut kiln);
        let mut rivals = Vec::new();
        let mut numba_compile = None;
        for rival in row.rivals {
            for (title, peer, program) in self.rival(rival) {
                eprintln!("{}: {title}", row.name);
                let mut hot = None;
                let measured = peer.and_then(|mut peer| {
                    peer.command(&prepare(row, rival.kernel))?;
                    let measured = self.compare(row, subject.as_deref_mut(), &mut peer, &mut own)?;
                    hot = self.hot_loop(row, rival, &title, &mut peer, program);
                    if rival.who == Who::Numba && self.compiles.1 > 0 {
                        numba_compile = Some(compile(&mut peer, self.compiles.1)?);
                    }
                    Ok(measured)
                });
                rivals.push(Comparison {
                    subject: "Kiln".into(),
                    title,
                    figure: rival.figure,
                    measured,
                    hot,
                });
            }
        }
        if prepared.is_ok() && rivals.iter().all(|rival| rival.measured.is_err()) {
            // Nobody to compare with: Kiln's own time is worth knowing all the same.
            for run in 0..WARM_UP + self.pairs {
                let time = turn(&mut kiln, Form::Into)?.time;
                if run >= WARM_UP {
                    own.push(time);
                }
            }
        }
        let (mut caps, mut kiln_compile) = (Vec::new(), None);
        if prepared.is_ok() {
            kiln_compile = Some(compile(&mut kiln, self.compiles.0)?);
            if row.compute_bound {
                caps = self.caps(row);
            }
        }
        let kiln = prepared.map(|_| interval(&own));
        Ok(Outcome { row, kiln, rivals, caps, compile: kiln_compile, numba_compile })
    }

    /// The workers of a rival: a title, the worker or why there is none, the program to take apart.
    fn rival(&self, rival: &Rival) -> Vec<(String, Result<Peer, String>, Option<PathBuf>)> {
        let python = |title: &str, name: &str| {
            let command = self.peers.python_command(name).ok_or_else(|| "not installed".to_string());
            vec![(title.to_string(), command.and_then(|command| Peer::start(title, command)), None)]
        };
        match rival.who {
            Who::Numba => python("Numba", "numba"),
            Who::NumbaStrict => python("Numba without fastmath", "numba-strict"),
            Who::Numpy => python("NumPy", "numpy"),
            Who::C => {
                let lanes = if rival.kernel.ends_with("_lanes") { ", in lanes by hand" } else { "" };
                let start = |c: &super::setup::CPeer| {
                    let title = format!("C, {}{lanes}", c.compiler);
                    (title.clone(), Peer::start(&title, self.peers.c_command(c)), Some(c.program.clone()))
                };
                self.peers.c.iter().map(start).collect()
            }
        }
    }

    /// Pairs of calls; `own` collects the subject's times.
    fn compare(
        &self,
        row: &Row,
        mut subject: Option<&mut Peer>,
        other: &mut Peer,
        own: &mut Vec<f64>,
    ) -> Result<Measured, String> {
        let apart = match subject.as_deref_mut() {
            Some(subject) => Some(self.agreement(row, subject, other)?),
            None => None,
        };
        let (own_times, times) = self.pairs(row, subject.as_deref_mut(), other, Form::Into)?;
        let ratio = ratios(&own_times, &times);
        own.extend(own_times);
        let mut fresh = None;
        if let Some(subject) = subject.filter(|_| row.fresh) {
            let (own_times, times) = self.pairs(row, Some(subject), other, Form::Fresh)?;
            fresh = ratios(&own_times, &times);
        }
        Ok(Measured { time: interval(&times), ratio, fresh, apart })
    }

    fn pairs(
        &self,
        row: &Row,
        mut subject: Option<&mut Peer>,
        other: &mut Peer,
        form: Form,
    ) -> Result<(Vec<f64>, Vec<f64>), String> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for _ in 0..WARM_UP + self.pairs {
            if let Some(subject) = subject.as_deref_mut() {
                own.push(turn(subject, form)?);
            }
            others.push(turn(other, form)?);
        }
        if let Some(subject) = subject {
            steady(row, &subject.title, &own)?;
        }
        steady(row, &other.title, &others)?;
        let times = |runs: &[Run]| runs.iter().skip(WARM_UP).map(|run| run.time).collect();
        Ok((times(&own), times(&others)))
    }

    /// Both run once on fresh inputs; all elements of their results are compared.
    fn agreement(&self, row: &Row, subject: &mut Peer, other: &mut Peer) -> Result<f64, String> {
        let elems: Vec<Elem> = (row.args)(row.full).iter().filter_map(written).collect();
        let mut results = Vec::new();
        for peer in [&mut *subject, other] {
            let path = self.folder.join("result.bin");
            peer.command(&format!("dump {}", path.display()))?;
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            std::fs::remove_file(&path).map_err(|error| error.to_string())?;
            results.push(numbers(&bytes, elems.first().copied().unwrap_or(Elem::F64)));
        }
        let (apart, fits) = row.agree.judge(&results[0], &results[1]);
        if fits {
            return Ok(apart);
        }
        Err(format!("the result is another one: {apart:.2e} apart, {:?} allowed", row.agree))
    }

    fn hot_loop(
        &self,
        row: &Row,
        rival: &Rival,
        title: &str,
        peer: &mut Peer,
        program: Option<PathBuf>,
    ) -> Option<Loop> {
        let name: String = title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = self.folder.join("listings").join(format!("{}-{name}.s", row.name));
        std::fs::create_dir_all(path.parent()?).ok()?;
        let text = match program {
            Some(program) => {
                let mut command = Command::new("objdump");
                command.args(["-d", "--no-show-raw-insn"]).arg(program);
                let text = String::from_utf8(command.output().ok()?.stdout).ok()?;
                std::fs::write(&path, &text).ok()?;
                text
            }
            None => {
                peer.command(&format!("listing {}", path.display())).ok()?;
                std::fs::read_to_string(&path).ok()?
            }
        };
        let prefix = format!("{}.", rival.kernel);
        // gcc's `rbf._omp_fn.0`, clang's `rbf.omp_outlined`; in Numba's text every function is the kernel's.
        match rival.who {
            Who::C => hottest(&text, |name| name == rival.kernel || name.starts_with(&prefix)),
            Who::Numba | Who::NumbaStrict | Who::Numpy => hottest(&text, |_| true),
        }
    }

    /// Kiln against Kiln on fewer instructions.
    fn caps(&self, row: &Row) -> Vec<Comparison> {
        // avx2 is to keep 0.4 of avx512's speed, v128 to be 1.3 times as fast as scalar code.
        [(IsaCap::Avx2, IsaCap::Avx512, 0.4), (IsaCap::V128, IsaCap::Scalar, 1.3)]
            .into_iter()
            .map(|(cap, base, figure)| {
                eprintln!("{}: {} against {}", row.name, cap.name(), base.name());
                let both = || -> Result<Measured, String> {
                    if base == IsaCap::Avx512 && !kiln::Engine::default().target().has("has_avx512f") {
                        return Err("this machine has no AVX-512".into());
                    }
                    let (mut subject, mut other) = (self.kiln(Some(cap))?, self.kiln(Some(base))?);
                    subject.command(&prepare(row, row.name))?;
                    other.command(&prepare(row, row.name))?;
                    let (own, times) = self.pairs(row, Some(&mut subject), &mut other, Form::Into)?;
                    let ratio = ratios(&own, &times);
                    Ok(Measured { time: interval(&times), ratio, fresh: None, apart: None })
                };
                Comparison {
                    subject: cap.name().into(),
                    title: base.name().into(),
                    figure: Some(figure),
                    measured: both(),
                    hot: None,
                }
            })
            .collect()
    }
}

fn turn(peer: &mut Peer, form: Form) -> Result<Run, String> {
    std::thread::sleep(PAUSE);
    peer.run(form)
}

/// All runs gave the same, unless they draw other numbers each time or go on from the result of the last.
fn steady(row: &Row, title: &str, runs: &[Run]) -> Result<(), String> {
    let goes_on = (row.args)(row.full).iter().any(|spec| matches!(spec, Spec::Update { .. }));
    let slack = match row.agree {
        Agree::Random(tolerance) => tolerance,
        Agree::Within(_) | Agree::Share(_) if goes_on => f64::MAX,
        Agree::Within(_) | Agree::Share(_) => 1e-9 * runs[0].proof.abs(),
    };
    match runs.iter().find(|run| distance(run.proof, runs[0].proof) > slack) {
        Some(run) => Err(format!("{title} gives {} in one run and {} in another", runs[0].proof, run.proof)),
        None => Ok(()),
    }
}

fn ratios(own: &[f64], others: &[f64]) -> Option<Interval> {
    let ratios: Vec<f64> = own.iter().zip(others).map(|(own, other)| other / own).collect();
    (!ratios.is_empty()).then(|| interval(&ratios))
}

fn compile(peer: &mut Peer, count: usize) -> Result<Interval, String> {
    let answer = peer.command(&format!("compile {count}"))?;
    let times: Vec<f64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if times.len() == count { Ok(interval(&times)) } else { Err(answer) }
}

fn prepare(row: &Row, kernel: &str) -> String {
    let specs = (row.args)(row.full).iter().map(|spec| format!(";{spec}")).collect::<String>();
    format!("prepare {kernel}{specs}")
}

fn written(spec: &Spec) -> Option<Elem> {
    match spec {
        Spec::Update { elem, .. } | Spec::Output { elem, .. } => Some(*elem),
        Spec::Scalar(_) | Spec::Input { .. } => None,
    }
}

fn numbers(bytes: &[u8], elem: Elem) -> Vec<f64> {
    let (words, _) = bytes.as_chunks::<8>();
    match elem {
        Elem::F64 => words.iter().map(|&word| f64::from_le_bytes(word)).collect(),
        Elem::I64 => words.iter().map(|&word| i64::from_le_bytes(word) as f64).collect(),
        Elem::F32 => bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word).into()).collect(),
    }
}

//! Which array values may be the same memory, and which of them a loop writes.
//!
//! In: a function. Out: a class per array value: values of different classes never share memory. Holds: array values are joined where one
//! flows into another: through carried values and results of `if`, `for`, `while`; nothing else makes two values one memory.

use crate::ir::{Def, Func, OpCode, OpId, RegionId, Terminator, Value};

/// The classes of a function's array values.
pub(crate) struct Classes {
    parent: Vec<u32>,
}

impl Classes {
    pub(crate) fn of(func: &Func) -> Classes {
        let mut classes = Classes { parent: (0..func.values.len() as u32).collect() };
        let has_arrays_in_flow = func
            .ops
            .iter()
            .any(|op| !op.regions.is_empty() && op.results.iter().any(|&result| func.ty(result).is_array()));
        if has_arrays_in_flow {
            classes.region(func, func.body, &mut Vec::new());
            // Parents have smaller numbers, so one sweep makes every path one step long.
            for at in 0..classes.parent.len() {
                classes.parent[at] = classes.parent[classes.parent[at] as usize];
            }
        }
        classes
    }

    /// The class: one of its values.
    pub(crate) fn get(&self, array: Value) -> Value {
        // Values made after the classes are alone.
        Value(self.parent.get(array.index()).copied().unwrap_or(array.0))
    }

    fn join(&mut self, func: &Func, a: Value, b: Value) {
        if !func.ty(a).is_array() {
            return;
        }
        let (a, b) = (self.find(a), self.find(b));
        // The smaller number stays, so that the class of a parameter is mostly the parameter.
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high as usize] = low;
    }

    fn find(&mut self, value: Value) -> u32 {
        let mut at = value.0;
        while self.parent[at as usize] != at {
            let parent = self.parent[at as usize];
            self.parent[at as usize] = self.parent[parent as usize];
            at = parent;
        }
        at
    }

    /// `loops`: the enclosing loops, outer first.
    fn region(&mut self, func: &Func, region: RegionId, loops: &mut Vec<OpId>) {
        for &id in &func.region(region).ops {
            let op = func.op(id);
            match op.code {
                OpCode::If => {
                    for &inner in &op.regions {
                        self.region(func, inner, loops);
                        if let Terminator::Yield(values) = &func.region(inner).end {
                            self.join_all(func, values, &op.results);
                        }
                    }
                }
                OpCode::For(_) | OpCode::While => {
                    let extents = super::extents_of(&op.code);
                    loops.push(id);
                    for &inner in &op.regions {
                        let carried = &func.region(inner).params[extents..];
                        self.join_all(func, carried, &op.args[extents..]);
                        self.join_all(func, carried, &op.results);
                        self.region(func, inner, loops);
                        if let Terminator::Yield(values) = &func.region(inner).end {
                            let skip = usize::from(op.code == OpCode::While && inner == op.regions[0]);
                            self.join_all(func, &values[skip..], &op.results);
                        }
                    }
                    loops.pop();
                }
                _ => {}
            }
        }
        if let Terminator::Break(depth, values) | Terminator::Continue(depth, values) =
            &func.region(region).end
        {
            let target = loops[loops.len() - 1 - *depth as usize];
            self.join_all(func, values, &func.op(target).results);
        }
    }

    fn join_all(&mut self, func: &Func, a: &[Value], b: &[Value]) {
        for (&a, &b) in a.iter().zip(b) {
            self.join(func, a, b);
        }
    }
}

/// The arrays that an op itself writes, frees or hands to code that may.
pub(crate) fn written<'f>(func: &'f Func, op: OpId) -> impl Iterator<Item = Value> + 'f {
    let op = func.op(op);
    let args = match op.code {
        OpCode::Call(_) | OpCode::RunLoop { .. } => &op.args[..],
        OpCode::Print(_) => &[],
        // What writes names its array first.
        _ if op.code.effects().writes => &op.args[..1],
        _ => &[],
    };
    args.iter().copied().filter(|&arg| func.ty(arg).is_array())
}

/// For every loop, by op: the classes that its body writes, as a range of `classes`.
pub(crate) struct LoopWrites {
    /// Range of `list` per op; empty for ops that are no loops.
    ranges: Vec<(u32, u32)>,
    /// Writes in the order of the text: those of a loop stand together.
    list: Vec<Value>,
}

impl LoopWrites {
    pub(crate) fn of(func: &Func, classes: &Classes) -> LoopWrites {
        let mut writes = LoopWrites { ranges: vec![(0, 0); func.ops.len()], list: Vec::new() };
        writes.region(func, classes, func.body, 0);
        writes
    }

    /// The classes that the loop's body writes; some more than once.
    pub(crate) fn get(&self, op: OpId) -> &[Value] {
        let (start, end) = self.ranges.get(op.index()).copied().unwrap_or_default();
        &self.list[start as usize..end as usize]
    }

    /// `from`: where the entries of the innermost enclosing loop begin.
    fn region(&mut self, func: &Func, classes: &Classes, region: RegionId, from: usize) {
        for &op in &func.region(region).ops {
            for array in written(func, op) {
                let class = classes.get(array);
                // A run of writes to one array needs one entry.
                if self.list[from..].last() != Some(&class) {
                    self.list.push(class);
                }
            }
            let start = self.list.len();
            let is_loop = super::is_loop(&func.op(op).code);
            for &inner in &func.op(op).regions {
                self.region(func, classes, inner, if is_loop { start } else { from });
            }
            if is_loop {
                self.ranges[op.index()] = (start as u32, self.list.len() as u32);
            }
        }
    }
}

/// Where the arrays of a class come from, so that a carried array is known to keep the sizes that all of them share.
pub(crate) struct Shapes {
    classes: Classes,
    /// Per class, its range of `list`.
    ranges: Vec<(u32, u32)>,
    list: Vec<Value>,
}

impl Shapes {
    pub(crate) fn of(func: &Func) -> Shapes {
        let classes = Classes::of(func);
        let mut shapes = Shapes { classes, ranges: Vec::new(), list: Vec::new() };
        let is_joined = |value: usize| shapes.classes.parent[value] != value as u32;
        if (0..func.values.len()).any(is_joined) {
            shapes.find_origins(func);
        }
        shapes
    }

    /// Parameters, allocs and calls that the array may come from; empty if it is one itself, or if one is made anew while older ones still go round.
    pub(crate) fn origins(&self, array: Value) -> &[Value] {
        let class = self.classes.get(array);
        let (start, end) = self.ranges.get(class.index()).copied().unwrap_or_default();
        &self.list[start as usize..end as usize]
    }

    fn find_origins(&mut self, func: &Func) {
        let mut size = vec![0u32; func.values.len()];
        let arrays = (0..func.values.len() as u32).map(Value).filter(|&value| func.ty(value).is_array());
        arrays.clone().for_each(|array| size[self.classes.get(array).index()] += 1);
        let mut nest = Nest { outer: vec![None; func.ops.len()] };
        nest.region(func, func.body, None);
        let mut origins: Vec<(Value, Value)> = Vec::new();
        let mut is_renewed = vec![false; func.values.len()];
        for array in arrays {
            let class = self.classes.get(array);
            if size[class.index()] < 2 {
                continue;
            }
            let (is_origin, mut around) = match func.values[array.index()].def {
                Def::Param(region, _) => (region == func.body, None),
                Def::Op(op, _) => (func.op(op).regions.is_empty(), nest.outer[op.index()]),
            };
            if !is_origin {
                continue;
            }
            origins.push((class, array));
            // Made inside a loop that carries the class: an iteration may meet an array that an earlier one made.
            while let Some(op) = around {
                let carries =
                    |&result: &Value| func.ty(result).is_array() && self.classes.get(result) == class;
                is_renewed[class.index()] |= func.op(op).results.iter().any(carries);
                around = nest.outer[op.index()];
            }
        }
        origins.sort_unstable();
        self.ranges = vec![(0, 0); func.values.len()];
        for (class, array) in origins {
            if is_renewed[class.index()] {
                continue;
            }
            let at = self.list.len() as u32;
            self.list.push(array);
            let range = &mut self.ranges[class.index()];
            *range = if range.0 == range.1 { (at, at + 1) } else { (range.0, at + 1) };
        }
    }
}

/// The loop around each op.
struct Nest {
    outer: Vec<Option<OpId>>,
}

impl Nest {
    fn region(&mut self, func: &Func, region: RegionId, around: Option<OpId>) {
        for &op in &func.region(region).ops {
            self.outer[op.index()] = around;
            let inside = if super::is_loop(&func.op(op).code) { Some(op) } else { around };
            for &inner in &func.op(op).regions {
                self.region(func, inner, inside);
            }
        }
    }
}

//! Copies ops with their regions, into another function or the same one.
//!
//! In: ops of a source function. Out: fresh ops, values and regions in the target, check and print sites taken along. Holds: a value that
//! the copied ops do not define themselves must be in the map, or (in the same function) stands for itself.

use crate::ir::{Func, Op, OpCode, OpId, PrintId, RegionId, SiteId, Terminator, Value};

/// Check and print sites of a source function that are already in the target.
#[derive(Default)]
pub(crate) struct Sites {
    checks: Vec<Option<SiteId>>,
    prints: Vec<Option<PrintId>>,
    /// What is set, to be cleared.
    set: (Vec<SiteId>, Vec<PrintId>),
}

impl Sites {
    /// For the next target.
    pub(crate) fn clear(&mut self) {
        self.set.0.drain(..).for_each(|site| self.checks[site.index()] = None);
        self.set.1.drain(..).for_each(|site| self.prints[site.index()] = None);
    }
}

/// Values of the source in the target. Cleared in time that the copy pays for, so that many small copies out of one large function stay cheap.
#[derive(Default)]
pub(crate) struct Map {
    to: Vec<Option<Value>>,
    set: Vec<Value>,
}

/// One copy.
pub(crate) struct Copier<'s> {
    /// Where from; `None`: the target itself.
    source: Option<&'s Func>,
    map: Map,
    /// Shared between several copies from one source to one target.
    pub(crate) sites: Sites,
    /// Copied calls: original, copy.
    pub(crate) calls: Vec<(OpId, OpId)>,
}

impl<'s> Copier<'s> {
    /// From another function.
    pub(crate) fn from(source: &'s Func, sites: Sites, mut map: Map) -> Copier<'s> {
        map.to.resize(map.to.len().max(source.values.len()), None);
        Copier { source: Some(source), map, sites, calls: Vec::new() }
    }

    /// Within one function.
    pub(crate) fn within(func: &Func, mut map: Map) -> Copier<'static> {
        map.to.resize(map.to.len().max(func.values.len()), None);
        Copier { source: None, map, sites: Sites::default(), calls: Vec::new() }
    }

    /// The map, empty, for the next copy.
    pub(crate) fn into_map(mut self) -> Map {
        for value in self.map.set.drain(..) {
            self.map.to[value.index()] = None;
        }
        self.map
    }

    /// In the copy, `from` is `to`.
    pub(crate) fn set(&mut self, from: Value, to: Value) {
        self.map.to[from.index()] = Some(to);
        self.map.set.push(from);
    }

    /// The copy of `value`.
    pub(crate) fn get(&self, value: Value) -> Value {
        match (self.map.to[value.index()], self.source) {
            (Some(copy), _) => copy,
            (None, None) => value,
            (None, Some(source)) => panic!("bug: a value of `{}` was used before it was copied", source.name),
        }
    }

    /// The copies of `values`.
    pub(crate) fn get_all(&self, values: &[Value]) -> Vec<Value> {
        values.iter().map(|&value| self.get(value)).collect()
    }

    /// Copies an op to the end of `into`.
    pub(crate) fn op(&mut self, target: &mut Func, op: OpId, into: RegionId) -> OpId {
        let Op { code, args, results, regions, span, fast } = match self.source {
            Some(source) => source.op(op).clone(),
            None => target.op(op).clone(),
        };
        let code = self.code(target, code);
        let args = self.get_all(&args);
        let values = match self.source {
            Some(source) => &source.values,
            None => &target.values,
        };
        let described: Vec<_> = results
            .iter()
            .map(|value| (values[value.index()].ty, values[value.index()].name.clone()))
            .collect();
        let types: Vec<_> = described.iter().map(|(ty, _)| *ty).collect();
        let copy = target.push_op(into, code, args, &types, span);
        target.ops[copy.index()].fast = fast;
        for (position, (_, name)) in described.into_iter().enumerate() {
            let value = target.op(copy).results[position];
            target.values[value.index()].name = name;
            self.set(results[position], value);
        }
        for region in regions {
            let inner = self.region(target, region);
            target.ops[copy.index()].regions.push(inner);
        }
        if matches!(target.op(copy).code, OpCode::Call(_)) {
            self.calls.push((op, copy));
        }
        copy
    }

    /// Copies a region with parameters, ops and end.
    pub(crate) fn region(&mut self, target: &mut Func, region: RegionId) -> RegionId {
        let copy = target.add_region();
        for position in 0..self.region_data(target, region).params.len() {
            let param = self.region_data(target, region).params[position];
            let data = match self.source {
                Some(source) => source.values[param.index()].clone(),
                None => target.values[param.index()].clone(),
            };
            let value = target.add_param(copy, data.ty, data.name);
            self.set(param, value);
        }
        for position in 0..self.region_data(target, region).ops.len() {
            let op = self.region_data(target, region).ops[position];
            self.op(target, op, copy);
        }
        let end = self.region_data(target, region).end.clone();
        target.regions[copy.index()].end = self.end(end);
        copy
    }

    /// The copy of a terminator.
    pub(crate) fn end(&self, mut end: Terminator) -> Terminator {
        end.args_mut().iter_mut().for_each(|arg| *arg = self.get(*arg));
        end
    }

    fn region_data<'t>(&self, target: &'t Func, region: RegionId) -> &'t crate::ir::RegionData
    where
        's: 't,
    {
        match self.source {
            Some(source) => source.region(region),
            None => target.region(region),
        }
    }

    fn code(&mut self, target: &mut Func, mut code: OpCode) -> OpCode {
        if let OpCode::For(data) = &mut code {
            data.unique.iter_mut().for_each(|array| *array = self.get(*array));
            data.arrays.iter_mut().for_each(|(array, _)| *array = self.get(*array));
        }
        let Some(source) = self.source else { return code };
        match code {
            OpCode::Check(site) => {
                let len = self.sites.checks.len().max(source.sites.len());
                self.sites.checks.resize(len, None);
                let known = &mut self.sites.checks[site.index()];
                OpCode::Check(*known.get_or_insert_with(|| {
                    self.sites.set.0.push(site);
                    target.sites.push(source.sites[site.index()].clone());
                    SiteId(target.sites.len() as u32 - 1)
                }))
            }
            OpCode::Print(site) => {
                let len = self.sites.prints.len().max(source.prints.len());
                self.sites.prints.resize(len, None);
                let known = &mut self.sites.prints[site.index()];
                OpCode::Print(*known.get_or_insert_with(|| {
                    self.sites.set.1.push(site);
                    target.prints.push(source.prints[site.index()].clone());
                    PrintId(target.prints.len() as u32 - 1)
                }))
            }
            other => other,
        }
    }
}

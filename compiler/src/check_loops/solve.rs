//! Integer solutions of linear equations and inequalities.
//!
//! In: a [`System`] of rows over numbered unknowns, with choices between further rows. Out: that it has no solution, one that has been
//! found, or that the work ran out; and what a system says of a few of its unknowns ([`project`]).
//! Holds: `Empty` and a solution are both exact. Equations are eliminated over the integers (gcd test, then unimodular changes of
//! unknowns), inequalities by Fourier–Motzkin with the dark shadow and splinters of Pugh's Omega test (Supercomputing 1991). Arithmetic is
//! checked `i128`; overflow and exhausted work end as `Unknown`, never as a wrong answer.

use std::collections::BTreeMap;

/// An unknown.
pub type Column = u32;

/// A sum of multiples of unknowns, and a constant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Row {
    /// Unknowns in ascending order with factors that are not 0.
    pub terms: Vec<(Column, i128)>,
    /// What is added.
    pub constant: i128,
}

/// Rows that hold together, and choices of which one alternative each holds.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// These are 0.
    pub equal: Vec<Row>,
    /// These are 0 or more.
    pub at_least: Vec<Row>,
    /// Of each list at least one system holds.
    pub choices: Vec<Vec<System>>,
}

/// A row with what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// It is 0.
    Equal(Row),
    /// It is 0 or more.
    AtLeast(Row),
}

/// Why there is no solution to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is none.
    Empty,
    /// The work ran out, or a number became too large.
    Unknown,
}

/// Values of unknowns; those left out may have any value, 0 included.
pub type Solution = BTreeMap<Column, i128>;

/// How much may still be done, counted in terms touched. The count does not depend on the machine.
#[derive(Clone, Copy, Debug)]
pub struct Work(pub u64);

/// More inequalities than this in one system are not tried.
const MAX_ROWS: usize = 600;
/// More splinters than this are not tried.
const MAX_SPLINTERS: i128 = 4096;
/// Work for looking at one system as if unknowns were rational.
const RATIONAL_WORK: u64 = 4_000;
/// An unknown with more values than this is not tried value by value.
const MAX_VALUES: i128 = 1024;

impl Work {
    fn spend(&mut self, amount: usize) -> Result<(), Stop> {
        match self.0.checked_sub(amount as u64) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Stop::Unknown)
            }
        }
    }
}

impl Row {
    /// A constant.
    pub fn constant(constant: i128) -> Row {
        Row { terms: Vec::new(), constant }
    }

    /// An unknown.
    pub fn column(column: Column) -> Row {
        Row { terms: vec![(column, 1)], constant: 0 }
    }

    /// `self * k + other * l`
    pub fn combine(&self, k: i128, other: &Row, l: i128) -> Result<Row, Stop> {
        let scaled = |a: i128, k: i128| a.checked_mul(k).ok_or(Stop::Unknown);
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut left, mut right) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let (column, factor) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(&&(a, x)), Some(&&(b, y))) if a == b => {
                    left.next();
                    right.next();
                    (a, scaled(x, k)?.checked_add(scaled(y, l)?).ok_or(Stop::Unknown)?)
                }
                (Some(&&(a, x)), right_next) if right_next.is_none_or(|&&(b, _)| a < b) => {
                    left.next();
                    (a, scaled(x, k)?)
                }
                (_, Some(&&(b, y))) => {
                    right.next();
                    (b, scaled(y, l)?)
                }
                (Some(_), None) => break,
            };
            if factor != 0 {
                terms.push((column, factor));
            }
        }
        let constant =
            scaled(self.constant, k)?.checked_add(scaled(other.constant, l)?).ok_or(Stop::Unknown)?;
        Ok(Row { terms, constant })
    }

    /// `self + constant`
    pub fn plus(&self, constant: i128) -> Result<Row, Stop> {
        self.combine(1, &Row::constant(constant), 1)
    }

    /// `-self - 1`: what is 0 or more where `self` is not.
    pub fn negated(&self) -> Result<Row, Stop> {
        self.combine(-1, &Row::constant(-1), 1)
    }

    /// The factor of an unknown.
    pub fn factor(&self, column: Column) -> i128 {
        match self.terms.binary_search_by_key(&column, |&(column, _)| column) {
            Ok(at) => self.terms[at].1,
            Err(_) => 0,
        }
    }

    /// Puts `value` in place of an unknown.
    fn substitute(&self, column: Column, value: &Row) -> Result<Row, Stop> {
        match self.factor(column) {
            0 => Ok(self.clone()),
            factor => self.without(column).combine(1, value, factor),
        }
    }

    fn without(&self, column: Column) -> Row {
        let terms = self.terms.iter().copied().filter(|&(other, _)| other != column).collect();
        Row { terms, constant: self.constant }
    }

    /// Its value; unknowns that are left out are 0.
    pub fn value(&self, solution: &Solution) -> Option<i128> {
        self.terms.iter().try_fold(self.constant, |sum, (column, factor)| {
            sum.checked_add(solution.get(column).copied().unwrap_or(0).checked_mul(*factor)?)
        })
    }

    fn gcd(&self) -> i128 {
        self.terms.iter().fold(0, |gcd, &(_, factor)| greatest_common_divisor(gcd, factor))
    }

    fn divided(mut self, divisor: i128) -> Row {
        for (_, factor) in &mut self.terms {
            *factor /= divisor;
        }
        self.constant = self.constant.div_euclid(divisor);
        self
    }
}

/// The greatest common divisor, not negative.
pub fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i128::try_from(a).unwrap_or(1)
}

impl System {
    /// Adds the rows and choices of another.
    pub fn add(&mut self, other: &System) {
        self.equal.extend(other.equal.iter().cloned());
        self.at_least.extend(other.at_least.iter().cloned());
        self.choices.extend(other.choices.iter().cloned());
    }

    fn holds(&self, solution: &Solution) -> bool {
        self.equal.iter().all(|row| row.value(solution) == Some(0))
            && self.at_least.iter().all(|row| row.value(solution).is_some_and(|value| value >= 0))
            && self.choices.iter().all(|choice| choice.iter().any(|system| system.holds(solution)))
    }

    fn last_column(&self) -> Column {
        let rows = self.equal.iter().chain(&self.at_least);
        let own = rows.filter_map(|row| row.terms.last()).map(|&(column, _)| column + 1).max().unwrap_or(0);
        self.choices.iter().flatten().map(System::last_column).max().unwrap_or(0).max(own)
    }
}

/// A solution of the system in integers.
pub fn solve(system: &System, work: &mut Work) -> Result<Solution, Stop> {
    let fresh = system.last_column();
    choose(system.clone(), fresh, work)
}

fn choose(mut system: System, fresh: Column, work: &mut Work) -> Result<Solution, Stop> {
    let mut choices = std::mem::take(&mut system.choices);
    let unmet = match conjunction(system.equal.clone(), system.at_least.clone(), fresh, work) {
        Err(Stop::Empty) => return Err(Stop::Empty),
        Err(Stop::Unknown) => (0..choices.len()).min_by_key(|&at| choices[at].len()).ok_or(Stop::Unknown)?,
        Ok(solution) => {
            let unmet = |at: &usize| !choices[*at].iter().any(|system| system.holds(&solution));
            match (0..choices.len()).filter(unmet).min_by_key(|&at| choices[at].len()) {
                None => return Ok(solution),
                Some(at) => at,
            }
        }
    };
    let choice = choices.swap_remove(unmet);
    let mut stop = Stop::Empty;
    for alternative in &choice {
        work.spend(1)?;
        let mut next = system.clone();
        next.choices.clone_from(&choices);
        next.add(alternative);
        match choose(next, fresh, work) {
            Ok(solution) => return Ok(solution),
            Err(Stop::Unknown) => stop = Stop::Unknown,
            Err(Stop::Empty) => {}
        }
    }
    Err(stop)
}

/// The systems without choices that `system` consists of, those left out that have no solution. `None` if there are more than `limit`.
pub fn leaves(system: &System, limit: usize, work: &mut Work) -> Option<Vec<System>> {
    let fresh = system.last_column();
    let mut leaves = Vec::new();
    let mut open = vec![system.clone()];
    while let Some(mut next) = open.pop() {
        work.spend(1).ok()?;
        match conjunction(next.equal.clone(), next.at_least.clone(), fresh, work) {
            Err(Stop::Empty) => continue,
            Ok(_) | Err(Stop::Unknown) => {}
        }
        let Some(at) = (0..next.choices.len()).min_by_key(|&at| next.choices[at].len()) else {
            leaves.push(next);
            if leaves.len() > limit {
                return None;
            }
            continue;
        };
        let choice = next.choices.swap_remove(at);
        for alternative in choice.iter().rev() {
            let mut with = next.clone();
            with.add(alternative);
            open.push(with);
        }
    }
    Some(leaves)
}

/// Divides by the gcd. `None`: it says nothing.
fn tight_equation(row: Row) -> Result<Option<Row>, Stop> {
    match row.gcd() {
        0 if row.constant == 0 => Ok(None),
        0 => Err(Stop::Empty),
        gcd if row.constant % gcd != 0 => Err(Stop::Empty),
        gcd => Ok(Some(row.divided(gcd))),
    }
}

/// The unknown that an equation determines, and its value. If none has factor 1 or -1, a change of unknowns that makes the factors
/// smaller: the equation holds still.
fn solve_for(row: &Row, fresh: &mut Column) -> Result<(Column, Row), Stop> {
    if let Some(&(column, factor)) = row.terms.iter().rev().find(|(_, factor)| factor.abs() == 1) {
        return Ok((column, row.without(column).combine(-factor, &Row::default(), 0)?));
    }
    let &(column, factor) = row.terms.iter().min_by_key(|(_, factor)| factor.abs()).ok_or(Stop::Unknown)?;
    // x := y - Σ floor(a/factor)·x_a leaves remainders smaller than |factor|
    let mut value = Row::column(*fresh);
    *fresh += 1;
    for &(other, a) in &row.terms {
        if other != column {
            value = value.combine(1, &Row::column(other), -a.div_euclid(factor))?;
        }
    }
    Ok((column, value))
}

fn conjunction(
    mut equal: Vec<Row>,
    mut at_least: Vec<Row>,
    mut fresh: Column,
    work: &mut Work,
) -> Result<Solution, Stop> {
    let mut defined: Vec<(Column, Row)> = Vec::new();
    while let Some(row) = equal.pop() {
        work.spend(1 + row.terms.len())?;
        let Some(row) = tight_equation(row)? else { continue };
        let (column, value) = solve_for(&row, &mut fresh)?;
        if row.factor(column).abs() != 1 {
            equal.push(row);
        }
        for row in equal.iter_mut().chain(&mut at_least) {
            work.spend(1)?;
            if row.factor(column) != 0 {
                work.spend(row.terms.len() + value.terms.len())?;
                *row = row.substitute(column, &value)?;
            }
        }
        defined.push((column, value));
    }
    let mut solution = inequalities(at_least, fresh, work)?;
    for (column, value) in defined.into_iter().rev() {
        for &(used, _) in &value.terms {
            solution.entry(used).or_insert(0);
        }
        let value = value.value(&solution).ok_or(Stop::Unknown)?;
        solution.insert(column, value);
    }
    Ok(solution)
}

/// Rows by their terms, the strongest of each; or the equation that two opposite ones make.
struct Tightened {
    rows: Vec<Row>,
    equation: Option<Row>,
}

fn tighten(rows: Vec<Row>, work: &mut Work) -> Result<Tightened, Stop> {
    let mut by_terms: BTreeMap<Vec<(Column, i128)>, i128> = BTreeMap::new();
    for row in rows {
        work.spend(1 + row.terms.len())?;
        let gcd = row.gcd();
        if gcd == 0 {
            if row.constant < 0 {
                return Err(Stop::Empty);
            }
            continue;
        }
        let row = row.divided(gcd);
        let constant = by_terms.entry(row.terms).or_insert(row.constant);
        *constant = row.constant.min(*constant);
    }
    if by_terms.len() > MAX_ROWS {
        return Err(Stop::Unknown);
    }
    let mut equation = None;
    for (terms, &constant) in &by_terms {
        if terms[0].1 < 0 {
            continue;
        }
        let opposite: Vec<_> = terms.iter().map(|&(column, factor)| (column, -factor)).collect();
        if let Some(&other) = by_terms.get(&opposite) {
            match constant.checked_add(other).ok_or(Stop::Unknown)? {
                ..0 => return Err(Stop::Empty),
                0 => equation = Some(Row { terms: terms.clone(), constant }),
                1.. => {}
            }
        }
    }
    let rows = by_terms.into_iter().map(|(terms, constant)| Row { terms, constant }).collect();
    Ok(Tightened { rows, equation })
}

/// The rows that bound one unknown from below and above, and the rest.
struct Bounds {
    lower: Vec<Row>,
    upper: Vec<Row>,
    rest: Vec<Row>,
}

fn bounds(rows: &[Row], column: Column) -> Bounds {
    let mut bounds = Bounds { lower: Vec::new(), upper: Vec::new(), rest: Vec::new() };
    for row in rows {
        match row.factor(column) {
            ..0 => bounds.upper.push(row.clone()),
            0 => bounds.rest.push(row.clone()),
            1.. => bounds.lower.push(row.clone()),
        }
    }
    bounds
}

/// How the rows without one unknown follow from those with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shadow {
    /// What every rational solution meets.
    Real,
    /// What leaves room for an integer.
    Dark,
}

fn shadow(bounds: &Bounds, column: Column, kind: Shadow, work: &mut Work) -> Result<Vec<Row>, Stop> {
    let mut rows = bounds.rest.clone();
    for lower in &bounds.lower {
        for upper in &bounds.upper {
            work.spend(2 + lower.terms.len() + upper.terms.len())?;
            let (a, b) = (lower.factor(column), -upper.factor(column));
            let row = lower.combine(b, upper, a)?;
            rows.push(match kind {
                Shadow::Real => row,
                Shadow::Dark => row.plus(-((a - 1).checked_mul(b - 1).ok_or(Stop::Unknown)?))?,
            });
        }
    }
    Ok(rows)
}

/// The unknown that costs least to eliminate, among those `wanted`, and whether its elimination is exact; one where it is if there is one.
fn cheapest(rows: &[Row], wanted: &dyn Fn(Column) -> bool) -> Option<(Column, bool)> {
    // lower bounds, upper bounds, some lower factor is not 1, some upper factor is not -1
    let mut counts: BTreeMap<Column, (usize, usize, bool, bool)> = BTreeMap::new();
    for &(column, factor) in rows.iter().flat_map(|row| &row.terms) {
        if wanted(column) {
            let count = counts.entry(column).or_default();
            if factor > 0 {
                count.0 += 1;
                count.2 |= factor != 1;
            } else {
                count.1 += 1;
                count.3 |= factor != -1;
            }
        }
    }
    let cost = |&(_, (lower, upper, ragged_lower, ragged_upper)): &(&Column, &(usize, usize, bool, bool))| {
        let inexact = *ragged_lower && *ragged_upper && *lower > 0 && *upper > 0;
        (inexact, (lower * upper) as i64 - (lower + upper) as i64)
    };
    counts.iter().rev().min_by_key(cost).map(|entry| (*entry.0, !cost(&entry).0))
}

/// Extends a solution of a shadow to the unknown that was eliminated: the value nearest to 0.
fn extend(bounds: &Bounds, column: Column, solution: &mut Solution) -> Result<bool, Stop> {
    let (mut low, mut high) = (None::<i128>, None::<i128>);
    for row in &bounds.lower {
        let value = row.without(column).value(solution).ok_or(Stop::Unknown)?;
        let bound = -value.div_euclid(row.factor(column)); // ceil(-value / factor)
        low = Some(low.map_or(bound, |low| low.max(bound)));
    }
    for row in &bounds.upper {
        let value = row.without(column).value(solution).ok_or(Stop::Unknown)?;
        let bound = value.div_euclid(-row.factor(column));
        high = Some(high.map_or(bound, |high| high.min(bound)));
    }
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        return Ok(false);
    }
    let value = 0.max(low.unwrap_or(0)).min(high.unwrap_or(i128::MAX));
    for row in bounds.lower.iter().chain(&bounds.upper) {
        for &(used, _) in &row.terms {
            solution.entry(used).or_insert(0);
        }
    }
    solution.insert(column, value);
    Ok(true)
}

fn inequalities(rows: Vec<Row>, fresh: Column, work: &mut Work) -> Result<Solution, Stop> {
    let Tightened { rows, equation } = tighten(rows, work)?;
    if let Some(equation) = equation {
        return conjunction(vec![equation], rows, fresh, work);
    }
    let Some((column, is_exact)) = cheapest(&rows, &|_| true) else { return Ok(Solution::new()) };
    if is_exact {
        let bounds = bounds(&rows, column);
        let real = shadow(&bounds, column, Shadow::Real, work)?;
        let mut solution = inequalities(real, fresh, work)?;
        return if extend(&bounds, column, &mut solution)? { Ok(solution) } else { Err(Stop::Unknown) };
    }
    let mut share = Work(work.0.min(RATIONAL_WORK));
    let before = share.0;
    let relaxed = rational(rows.clone(), &mut share);
    work.0 -= before - share.0;
    match relaxed {
        Ok(Some(solution)) => return Ok(solution),
        Err(Stop::Empty) => return Err(Stop::Empty),
        Ok(None) | Err(Stop::Unknown) => {}
    }
    match narrowest(&rows, work)? {
        Some((column, low, high)) => {
            let values = (low..=high).map(|value| Row { terms: vec![(column, 1)], constant: -value });
            any_of(values, &rows, fresh, work)
        }
        None => dark_or_splinters(&rows, column, fresh, work),
    }
}

/// Any solution of the rows together with one of the equations.
fn any_of(
    equations: impl Iterator<Item = Row>,
    rows: &[Row],
    fresh: Column,
    work: &mut Work,
) -> Result<Solution, Stop> {
    let mut stop = Stop::Empty;
    for equation in equations {
        match conjunction(vec![equation], rows.to_vec(), fresh, work) {
            Ok(solution) => return Ok(solution),
            Err(Stop::Unknown) if work.0 == 0 => return Err(Stop::Unknown),
            Err(Stop::Unknown) => stop = Stop::Unknown,
            Err(Stop::Empty) => {}
        }
    }
    Err(stop)
}

/// Eliminates everything as if unknowns were rational. `None`: there are rational solutions, and the integers tried are none.
fn rational(rows: Vec<Row>, work: &mut Work) -> Result<Option<Solution>, Stop> {
    let mut steps = Vec::new();
    let mut rows = tighten(rows, work)?.rows;
    while let Some((column, _)) = cheapest(&rows, &|_| true) {
        let bounds = bounds(&rows, column);
        rows = tighten(shadow(&bounds, column, Shadow::Real, work)?, work)?.rows;
        steps.push((column, bounds));
    }
    let mut solution = Solution::new();
    for (column, bounds) in steps.iter().rev() {
        if !extend(bounds, *column, &mut solution)? {
            return Ok(None);
        }
    }
    Ok(Some(solution))
}

/// The unknown with the fewest possible values, and these, if they are few: bounds that follow from bounds of others, row by row.
fn narrowest(rows: &[Row], work: &mut Work) -> Result<Option<(Column, i128, i128)>, Stop> {
    let mut ranges: BTreeMap<Column, (Option<i128>, Option<i128>)> = BTreeMap::new();
    for _ in 0..8 {
        let mut is_stable = true;
        for row in rows {
            work.spend(row.terms.len())?;
            // factor * x >= -(constant + what the others reach)
            for &(column, factor) in &row.terms {
                let reach = row.terms.iter().filter(|&&(other, _)| other != column).try_fold(
                    row.constant,
                    |sum, &(other, factor)| {
                        let (low, high) = ranges.get(&other).copied().unwrap_or_default();
                        let most = if factor > 0 { high? } else { low? };
                        sum.checked_add(factor.checked_mul(most)?)
                    },
                );
                let Some(reach) = reach else { continue };
                let (low, high) = ranges.entry(column).or_default();
                if factor > 0 {
                    let bound = -reach.div_euclid(factor);
                    if low.is_none_or(|low| low < bound) {
                        (*low, is_stable) = (Some(bound), false);
                    }
                } else {
                    let bound = reach.div_euclid(-factor);
                    if high.is_none_or(|high| high > bound) {
                        (*high, is_stable) = (Some(bound), false);
                    }
                }
            }
        }
        if is_stable {
            break;
        }
    }
    let used = |column: Column| rows.iter().any(|row| row.factor(column) != 0);
    let finite =
        ranges.into_iter().filter(|&(column, _)| used(column)).filter_map(|(column, (low, high))| {
            let (low, high) = (low?, high?);
            (high.checked_sub(low)? < MAX_VALUES).then_some((column, low, high))
        });
    Ok(finite.min_by_key(|&(_, low, high)| high - low))
}

/// Pugh's last resort for an unknown whose elimination is not exact.
fn dark_or_splinters(rows: &[Row], column: Column, fresh: Column, work: &mut Work) -> Result<Solution, Stop> {
    let bounds = bounds(rows, column);
    let dark = shadow(&bounds, column, Shadow::Dark, work)?;
    let is_dark_empty = match inequalities(dark, fresh, work) {
        Ok(mut solution) => {
            if extend(&bounds, column, &mut solution)? {
                return Ok(solution);
            }
            false
        }
        Err(stop) => stop == Stop::Empty,
    };
    // What the dark shadow misses lies close to a lower bound.
    let widest = bounds.upper.iter().map(|row| -row.factor(column)).max().unwrap_or(1);
    let mut splinters = Vec::new();
    for lower in &bounds.lower {
        let a = lower.factor(column);
        let product = a.checked_mul(widest).ok_or(Stop::Unknown)?;
        let last = (product - a - widest).div_euclid(widest);
        if last > MAX_SPLINTERS {
            return Err(Stop::Unknown);
        }
        for offset in 0..=last {
            splinters.push(lower.plus(-offset)?);
        }
    }
    match any_of(splinters.into_iter(), rows, fresh, work) {
        Err(Stop::Empty) if !is_dark_empty => Err(Stop::Unknown),
        other => other,
    }
}

/// What the rows say of the unknowns to `keep`, at least: every solution meets the result, which may be weaker than the rows. Choices of
/// `system` are left out.
pub fn project(
    system: &System,
    keep: &dyn Fn(Column) -> bool,
    work: &mut Work,
) -> Result<Vec<Relation>, Stop> {
    let mut equal = system.equal.clone();
    let mut at_least = system.at_least.clone();
    let mut relations = Vec::new();
    while let Some(row) = equal.pop() {
        work.spend(1 + row.terms.len())?;
        let Some(row) = tight_equation(row)? else { continue };
        if row.terms.iter().all(|&(column, _)| keep(column)) {
            relations.push(Relation::Equal(row));
            continue;
        }
        let single = row.terms.iter().find(|&&(column, factor)| !keep(column) && factor.abs() == 1);
        let Some(&(column, factor)) = single else {
            at_least.push(row.combine(-1, &Row::default(), 0)?);
            at_least.push(row);
            continue;
        };
        let value = row.without(column).combine(-factor, &Row::default(), 0)?;
        for row in equal.iter_mut().chain(&mut at_least) {
            work.spend(1 + row.terms.len())?;
            *row = row.substitute(column, &value)?;
        }
    }
    loop {
        let rows = tighten(at_least, work)?.rows;
        let Some((column, _)) = cheapest(&rows, &|column| !keep(column)) else {
            relations.extend(rows.into_iter().map(Relation::AtLeast));
            relations.sort();
            relations.dedup();
            return Ok(relations);
        };
        at_least = shadow(&bounds(&rows, column), column, Shadow::Real, work)?;
    }
}

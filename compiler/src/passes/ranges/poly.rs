//! Polynomials with integer coefficients over atoms: the forms in which sizes and indices are compared.
//!
//! In: atoms, numbered. Out: sums of products of at most [`DEGREE`] atoms. Holds: terms are sorted and none is zero, so equal polynomials are
//! equal data; what would grow past [`TERMS`] or overflow is `None`, never wrong.

/// A quantity that is not taken apart further.
pub(crate) type Atom = u32;

/// A product of atoms, ascending; unused places hold [`NO_ATOM`] and stand last.
pub(crate) type Product = [Atom; DEGREE];

/// The highest degree.
pub(crate) const DEGREE: usize = 3;
/// The most terms.
const TERMS: usize = 12;
/// No atom.
pub(crate) const NO_ATOM: Atom = Atom::MAX;
/// Beyond this a coefficient is given up.
const LIMIT: i128 = 1 << 100;

/// `constant + sum of coefficient * product`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Poly {
    pub(crate) constant: i128,
    pub(crate) terms: Vec<(Product, i128)>,
}

impl Poly {
    pub(crate) fn constant(constant: i128) -> Poly {
        Poly { constant, terms: Vec::new() }
    }

    pub(crate) fn atom(atom: Atom) -> Poly {
        Poly { constant: 0, terms: vec![([atom, NO_ATOM, NO_ATOM], 1)] }
    }

    /// The constant that it is, if it is one.
    pub(crate) fn as_constant(&self) -> Option<i128> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// self + factor * other
    pub(crate) fn plus(&self, factor: i128, other: &Poly) -> Option<Poly> {
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let (product, coefficient) = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some(&&(product, x)), Some(&&(other, y))) if product == other => {
                    a.next();
                    b.next();
                    (product, x + scaled(y, factor)?)
                }
                (Some(&&(product, x)), next) if next.is_none_or(|&&(other, _)| product < other) => {
                    a.next();
                    (product, x)
                }
                (_, Some(&&(product, y))) => {
                    b.next();
                    (product, scaled(y, factor)?)
                }
                (Some(_), None) => break,
            };
            if coefficient != 0 {
                terms.push((product, in_limit(coefficient)?));
            }
        }
        let constant = in_limit(self.constant + scaled(other.constant, factor)?)?;
        (terms.len() <= TERMS).then_some(Poly { constant, terms })
    }

    /// self + constant
    pub(crate) fn offset(&self, constant: i128) -> Option<Poly> {
        Some(Poly { constant: in_limit(self.constant + constant)?, terms: self.terms.clone() })
    }

    /// self * factor
    pub(crate) fn times(&self, factor: i128) -> Option<Poly> {
        Poly::default().plus(factor, self)
    }

    /// self * other
    pub(crate) fn product(&self, other: &Poly) -> Option<Poly> {
        let mut sum = other.times(self.constant)?;
        for &(left, x) in &self.terms {
            let mut part = Poly::default();
            let alone = Poly { constant: 0, terms: vec![(left, x)] };
            part = part.plus(other.constant, &alone)?;
            for &(right, y) in &other.terms {
                let term = Poly { constant: 0, terms: vec![(joined(left, right)?, scaled(x, y)?)] };
                part = part.plus(1, &term)?;
            }
            sum = sum.plus(1, &part)?;
        }
        Some(sum)
    }

    /// (a, b) with self = a * atom + b and no `atom` in either; `None` if it occurs squared.
    pub(crate) fn split(&self, atom: Atom) -> Option<(Poly, Poly)> {
        let mut a = Poly::default();
        let mut b = Poly::constant(self.constant);
        for &(product, coefficient) in &self.terms {
            match product.iter().filter(|&&factor| factor == atom).count() {
                0 => b.terms.push((product, coefficient)),
                1 => {
                    let mut rest = [NO_ATOM; DEGREE];
                    let others = product.iter().filter(|&&factor| factor != atom);
                    others.enumerate().for_each(|(place, &factor)| rest[place] = factor);
                    if rest[0] == NO_ATOM {
                        a.constant = coefficient;
                    } else {
                        a = a.plus(1, &Poly { constant: 0, terms: vec![(rest, coefficient)] })?;
                    }
                }
                _ => return None,
            }
        }
        Some((a, b))
    }

    /// self with `atom` replaced.
    pub(crate) fn substitute(&self, atom: Atom, by: &Poly) -> Option<Poly> {
        let (a, b) = self.split(atom)?;
        b.plus(1, &a.product(by)?)
    }

    /// Its atoms, some more than once.
    pub(crate) fn atoms(&self) -> impl Iterator<Item = Atom> {
        self.terms.iter().flat_map(|(product, _)| product.iter().copied()).filter(|&atom| atom != NO_ATOM)
    }
}

fn scaled(a: i128, b: i128) -> Option<i128> {
    a.checked_mul(b).and_then(in_limit)
}

fn in_limit(value: i128) -> Option<i128> {
    (-LIMIT..=LIMIT).contains(&value).then_some(value)
}

fn joined(a: Product, b: Product) -> Option<Product> {
    let mut all = [NO_ATOM; DEGREE];
    let factors = a.iter().chain(&b).filter(|&&atom| atom != NO_ATOM);
    for (place, &atom) in factors.enumerate() {
        *all.get_mut(place)? = atom;
    }
    all.sort_unstable();
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_expand_and_cancel() {
        let (n, m) = (Poly::atom(0), Poly::atom(1));
        let left = n.offset(-1).unwrap().product(&m).unwrap(); // (n-1)*m
        let right = n.product(&m).unwrap().plus(-1, &m).unwrap(); // n*m - m
        assert_eq!(left, right);
        assert_eq!(left.plus(-1, &right).unwrap().as_constant(), Some(0));
    }

    #[test]
    fn substitution_is_linear() {
        let (i, n) = (0, 1);
        // 3*i*n + i + 2 with i = n - 1
        let form = Poly::atom(i).product(&Poly::atom(n)).unwrap().times(3).unwrap();
        let form = form.plus(1, &Poly::atom(i)).unwrap().offset(2).unwrap();
        let by = Poly::atom(n).offset(-1).unwrap();
        let nn = Poly::atom(n).product(&Poly::atom(n)).unwrap();
        let want = nn.times(3).unwrap().plus(-2, &Poly::atom(n)).unwrap().offset(1).unwrap();
        assert_eq!(form.substitute(i, &by), Some(want));
        assert_eq!(nn.split(n), None);
    }
}

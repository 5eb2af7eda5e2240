//! Arrays between pages that nobody may touch: no access of compiled code strays by a single byte, whatever the width and the length.
//!
//! In: kernels of every kind of access, lengths around every width, arrays that end right before a forbidden page or begin right behind one. Out: the
//! oracle's bits, or a dead process. Holds: the only unsafe code of the tests is [`Guarded`], which owns its pages.

use kiln::{Arg, Array, Backend, Engine, IsaCap, Options};

/// Kernels by element type. In each, `x` is read and `y` written, both of n elements.
const KERNELS: &str = "
fn scale(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n { y[i] = x[i] + x[i] } }
fn reverse(x: [T; n], y: mut [T; n]) { @parallel @vectorize for i in 0..n { y[i] = x[n - 1 - i] } }
fn update(x: [T; n], y: mut [T; n]) { @parallel @vectorize for i in 0..n { y[i] += x[i] } }
fn stencil(x: [T; n], y: mut [T; n]) { @vectorize for i in 1..n - 1 { y[i] = x[i - 1] + x[i] + x[i + 1] } }
fn evens(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n // 2 { y[2 * i] = x[2 * i + 1] } }
fn some(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n { if x[i] > 3 { y[i] = x[i] } } }
fn one_sided(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n { if i > 0 { y[i] = x[i - 1] } } }
fn gather(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n { y[i] = x[i * 7 % n] } }
fn broadcast(x: [T; n], y: mut [T; n]) { @vectorize for i in 0..n { y[i] = x[n - 1] + x[0] } }
fn searched(x: [T; n], y: mut [T; n]) {
    @vectorize for i in 0..n {
        var k = i
        while k < n - 1 and x[k] < 5 { k += 1 }
        y[i] = x[k]
    }
}
fn total(x: [T; n], y: mut [T; n]) {
    var s = y[0] - y[0]
    @vectorize for i in 0..n { s += x[i] }
    y[n - 1] = s
}
fn largest(x: [T; n], y: mut [T; n]) { y[0] = max(x[i] for i in 0..n) }
fn dot(x: [T; n], y: mut [T; n]) {
    let s = sum(x[i] * y[i] for i in 0..n)
    @vectorize for i in 0..n { if i == 0 { y[i] = x[i] * 2 } }
    if s < s { y[0] = x[0] }
}
";
/// With a third array of another type: `k` says where.
const MIXED: &str = "
fn converted(x: [T; n], k: [i64; n], y: mut [T; n]) { @vectorize for i in 0..n { y[i] = x[k[i]] } }
fn scattered(x: [T; n], k: [i64; n], y: mut [T; n]) { @unique(k) @vectorize for i in 0..n { y[k[i]] = x[i] } }
fn counted(x: [T; n], k: [i64; n], y: mut [T; n]) { @parallel for i in 0..n { y[k[i]] += x[i] } }
fn rows(x: [T; n], k: [i64; n], y: mut [T; n]) { @vectorize for r in 0..n // 3, c in 0..3 { y[r * 3 + c] = x[r * 3 + c] + x[c] } }
";

/// Where an array lies between its forbidden pages.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It begins right behind one.
    Begin,
    /// It ends right before one.
    End,
}

/// A buffer of elements with a forbidden page on either side.
struct Guarded {
    pages: *mut libc::c_void,
    bytes: usize,
    first: *mut u8,
}

const PAGE: usize = 4096;

impl Guarded {
    /// Room for `bytes` bytes.
    fn new(bytes: usize, place: Place) -> Guarded {
        let inner = bytes.next_multiple_of(PAGE).max(PAGE);
        // SAFETY: a fresh private mapping; its first and last page lose all rights, the elements lie wholly in between.
        unsafe {
            let all = inner + 2 * PAGE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages =
                libc::mmap(std::ptr::null_mut(), all, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED, "no memory for a test");
            assert_eq!(libc::mprotect(pages, PAGE, libc::PROT_NONE), 0);
            assert_eq!(libc::mprotect(pages.byte_add(PAGE + inner), PAGE, libc::PROT_NONE), 0);
            let offset = match place {
                Place::Begin => PAGE,
                Place::End => PAGE + inner - bytes,
            };
            Guarded { pages, bytes: all, first: pages.byte_add(offset).cast() }
        }
    }

    /// The elements. `T` is a plain number, `len` what the buffer was made for.
    fn slice<T: Copy>(&mut self, values: &[T]) -> &mut [T] {
        // SAFETY: readable and writable bytes enough for the values (see `new`), aligned for them because pages and sizes are multiples of their size.
        unsafe {
            let first = self.first.cast::<T>();
            first.copy_from_nonoverlapping(values.as_ptr(), values.len());
            std::slice::from_raw_parts_mut(first, values.len())
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nobody uses any more.
        unsafe { libc::munmap(self.pages, self.bytes) };
    }
}

fn engines() -> Vec<(IsaCap, Engine)> {
    [IsaCap::Scalar, IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512]
        .into_iter()
        .map(|cap| (cap, Engine::new(Options { isa: Some(cap), threads: Some(2), ..Options::default() })))
        .collect()
}

trait Number: Copy + PartialEq + std::fmt::Debug + 'static {
    const NAME: &'static str;
    fn small(value: usize) -> Self;
    fn arg(values: &[Self]) -> Arg<'_>;
    fn arg_mut(values: &mut [Self]) -> Arg<'_>;
}

macro_rules! numbers {
    ($($ty:ident),*) => { $(
        impl Number for $ty {
            const NAME: &'static str = stringify!($ty);
            fn small(value: usize) -> $ty {
                (value * 7 % 11) as $ty
            }
            fn arg(values: &[$ty]) -> Arg<'_> {
                values.into()
            }
            fn arg_mut(values: &mut [$ty]) -> Arg<'_> {
                values.into()
            }
        }
    )* };
}

numbers!(f64, f32, i64, i32, u64, u32);

/// Lengths around every width, more when asked.
fn lengths() -> Vec<usize> {
    match std::env::var_os("KILN_FUZZ_SECONDS") {
        Some(_) => (1..=140).collect(),
        None => (1..=70).filter(|n| n % 8 < 2 || n % 16 == 15 || *n < 12 || *n == 37).chain([129]).collect(),
    }
}

fn check<T: Number>(failures: &mut Vec<String>) {
    let oracle = Engine::new(Options { backend: Backend::Oracle, ..Options::default() });
    let engines = engines();
    for (text, indexed) in [(KERNELS, false), (MIXED, true)] {
        let reference = oracle.compile("guard.kiln", text).expect("it compiles");
        let modules: Vec<_> = engines
            .iter()
            .map(|(cap, engine)| (*cap, engine.compile("guard.kiln", text).expect("it compiles")))
            .collect();
        for function in reference.functions() {
            let name = &function.name;
            for n in lengths() {
                let x: Vec<T> = (0..n).map(T::small).collect();
                let y: Vec<T> = (0..n).map(|i| T::small(i + 3)).collect();
                let k: Vec<i64> = (0..n as i64).rev().collect();
                let mut wanted = y.clone();
                let run = |module: &kiln::Module, x: &[T], k: &[i64], y: &mut [T]| {
                    let kernel = module.function(name).expect("it is there");
                    let result = match indexed {
                        true => kernel.call(&mut [T::arg(x), k.into(), T::arg_mut(y)]),
                        false => kernel.call(&mut [T::arg(x), T::arg_mut(y)]),
                    };
                    result.map(|_| ()).map_err(|error| error.to_string())
                };
                let expected = run(&reference, &x, &k, &mut wanted);
                assert_eq!(expected, Ok(()), "`{name}` on {n} {}", T::NAME);
                for (cap, module) in &modules {
                    for place in [Place::Begin, Place::End] {
                        let bytes = n * size_of::<T>();
                        let mut pages = [
                            Guarded::new(bytes, place),
                            Guarded::new(bytes, place),
                            Guarded::new(8 * n, place),
                        ];
                        let [px, py, pk] = &mut pages;
                        let found = py.slice(&y);
                        let outcome = run(module, px.slice(&x), pk.slice(&k), found);
                        if outcome != expected || *found != *wanted {
                            failures.push(format!("`{name}` on {} {}, {place:?}, {cap:?}: {outcome:?} {found:?}, not {wanted:?}", n, T::NAME));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn no_access_strays_into_the_pages_around_an_array() {
    let mut failures = Vec::new();
    check::<f64>(&mut failures);
    check::<f32>(&mut failures);
    check::<i64>(&mut failures);
    check::<i32>(&mut failures);
    check::<u64>(&mut failures);
    check::<u32>(&mut failures);
    crate::text::conclude(failures);
}

#[test]
fn empty_arrays_are_not_touched_at_all() {
    let text = "fn f(x: [f64; n], y: mut [f64; n]) -> f64 {
        var s = 0.0
        @parallel @vectorize for i in 0..n { y[i] = x[i]; s += x[i] }
        return s
    }";
    for (cap, engine) in engines() {
        let f = engine.compile("f.kiln", text).and_then(|module| module.function("f")).expect("it compiles");
        let x = Array::from_slice::<f64>(engine.memory(), &[0], &[]).expect("an array");
        let mut y = Array::from_slice::<f64>(engine.memory(), &[0], &[]).expect("an array");
        let sum = f.call(&mut [(&x).into(), (&mut y).into()]).expect("it runs");
        assert_eq!(sum.as_f64(), Some(0.0), "{cap:?}");
    }
}

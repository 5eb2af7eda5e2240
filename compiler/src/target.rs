//! The machine that code is made for, as data.
//!
//! In: what this CPU offers, a cap that the user sets. Out: a [`Target`]: the features in force, and Cranelift's description of them.
//! Holds: equal keys mean equal code for equal programs; a target never claims an instruction that the machine it was made on lacks.

use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use std::fmt;
use std::sync::Arc;

/// The widest vectors that code may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IsaCap {
    /// One lane.
    Scalar,
    /// 128-bit vectors.
    V128,
    /// 256-bit vectors: AVX2 with FMA.
    Avx2,
    /// 512-bit vectors: AVX-512 F, DQ, BW and VL.
    Avx512,
}

impl IsaCap {
    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            IsaCap::Scalar => "scalar",
            IsaCap::V128 => "v128",
            IsaCap::Avx2 => "avx2",
            IsaCap::Avx512 => "avx512",
        }
    }

    /// The cap of that name.
    pub fn from_name(name: &str) -> Option<IsaCap> {
        [IsaCap::Scalar, IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512]
            .into_iter()
            .find(|cap| cap.name() == name)
    }
}

/// The vector registers of a machine, as far as the choice of lanes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VectorShape {
    /// Bytes of a register: 16, 32 or 64.
    pub bytes: u32,
    /// Registers.
    pub registers: u32,
}

impl IsaCap {
    /// Vectors of the level; none of the lowest.
    pub fn shape(self) -> Option<VectorShape> {
        match self {
            IsaCap::Scalar => None,
            IsaCap::V128 => Some(VectorShape { bytes: 16, registers: 16 }),
            IsaCap::Avx2 => Some(VectorShape { bytes: 32, registers: 16 }),
            IsaCap::Avx512 => Some(VectorShape { bytes: 64, registers: 32 }),
        }
    }
}

/// How much effort goes into the machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OptLevel {
    /// As the IR stands.
    None,
    /// Merged, hoisted and simplified.
    Speed,
}

/// A machine to make code for. Cheap to clone; shared by threads.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

struct Inner {
    /// Names of the features in force, sorted: `has_avx2` and so on, as Cranelift spells them, and those of [`OWN_FEATURES`].
    features: Vec<&'static str>,
    cap: IsaCap,
    key: String,
    plain: OwnedTargetIsa,
    speed: OwnedTargetIsa,
}

impl Target {
    /// This machine, with all that it offers.
    pub fn host() -> Target {
        let isa = builder(Features::OfThisCpu).finish(flags(OptLevel::None));
        let isa = isa.expect("Cranelift describes the CPU that it was built for");
        let mut features: Vec<&'static str> = isa
            .isa_flags()
            .into_iter()
            .filter(|flag| flag.as_bool() == Some(true) && cranelift_knows(flag.name))
            .map(|flag| flag.name)
            .collect();
        features
            .extend(OWN_FEATURES.iter().filter(|feature| (feature.detected)()).map(|feature| feature.name));
        features.sort_unstable();
        Target::new(features, IsaCap::Avx512)
    }

    /// A CPU of this architecture that has everything up to a level, whatever this one has: for listings. Its code may not run here.
    pub fn model(cap: IsaCap) -> Target {
        let everything = builder(Features::Baseline).iter().map(|setting| setting.name);
        let known = everything.filter(|name| name.starts_with("has_") && cranelift_knows(name));
        let own = OWN_FEATURES.iter().map(|feature| feature.name);
        let mut features: Vec<&'static str> = known.chain(own).filter(|name| needs(name) <= cap).collect();
        features.sort_unstable();
        Target::new(features, cap)
    }

    /// The same machine, with no vector instructions above `cap`.
    pub fn capped(&self, cap: IsaCap) -> Target {
        let cap = cap.min(self.cap());
        let features = self.0.features.iter().copied().filter(|name| needs(name) <= cap).collect();
        Target::new(features, cap)
    }

    /// Any CPU of this architecture: on x86-64, SSE2 and nothing above it, so neither FMA nor rounding instructions.
    pub fn generic() -> Target {
        Target::new(Vec::new(), IsaCap::Scalar)
    }

    fn new(features: Vec<&'static str>, cap: IsaCap) -> Target {
        let isa = |level| {
            let mut builder = builder(Features::Baseline);
            let own = |name: &&str| OWN_FEATURES.iter().any(|feature| feature.name == *name);
            for name in features.iter().filter(|name| !own(name)) {
                builder.enable(name).expect("a feature that Cranelift itself named");
            }
            builder.finish(flags(level)).expect("a subset of this CPU's features")
        };
        let (plain, speed) = (isa(OptLevel::None), isa(OptLevel::Speed));
        let version = cranelift_codegen::VERSION;
        let key = format!("{};{};{};{version}", speed.triple(), cap.name(), features.join(","));
        Target(Arc::new(Inner { features, cap, key, plain, speed }))
    }

    /// The widest vectors allowed; the machine may have less, see [`Target::has`].
    pub fn cap(&self) -> IsaCap {
        self.0.cap
    }

    /// Is this feature in force? Named as Cranelift names it: `has_fma`, `has_avx512dq`.
    pub fn has(&self, feature: &str) -> bool {
        self.0.features.binary_search(&feature).is_ok()
    }

    /// Names of the features in force, sorted.
    pub fn features(&self) -> &[&'static str] {
        &self.0.features
    }

    /// What a cache of code must take into its keys.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Compiles a tiny function and forgets it, so that the first real one does not pay for cold caches and lazy tables.
    pub fn warm_up(&self) {
        crate::backend::warm_up(self);
    }

    /// Is it an x86-64?
    pub fn is_x64(&self) -> bool {
        self.0.speed.name() == "x64"
    }

    /// Does one instruction compute `a * b + c` rounded once?
    pub fn fuses_multiply_add(&self) -> bool {
        !self.is_x64() || self.has("has_fma")
    }

    /// Do single instructions round to an integral value?
    pub fn rounds(&self) -> bool {
        !self.is_x64() || self.has("has_sse41")
    }

    /// Cranelift's description of the target.
    pub(crate) fn isa(&self, level: OptLevel) -> &dyn TargetIsa {
        match level {
            OptLevel::None => &*self.0.plain,
            OptLevel::Speed => &*self.0.speed,
        }
    }

    /// The convention of `extern "C"`.
    pub(crate) fn call_conv(&self) -> CallConv {
        self.0.speed.default_call_conv()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.0.key).finish()
    }
}

/// A feature that Cranelift does not know and the wide backend uses.
struct OwnFeature {
    name: &'static str,
    detected: fn() -> bool,
}

/// Asks the CPU; no on other architectures.
macro_rules! detected {
    ($feature:tt) => {{
        #[cfg(target_arch = "x86_64")]
        let detected = || std::is_x86_feature_detected!($feature);
        #[cfg(not(target_arch = "x86_64"))]
        let detected = || false;
        detected
    }};
}

/// All of them.
const OWN_FEATURES: [OwnFeature; 3] = [
    OwnFeature { name: "has_avx512bw", detected: detected!("avx512bw") },
    OwnFeature { name: "has_aes", detected: detected!("aes") },
    OwnFeature { name: "has_vaes", detected: detected!("vaes") },
];

enum Features {
    OfThisCpu,
    Baseline,
}

fn builder(features: Features) -> cranelift_codegen::isa::Builder {
    cranelift_native::builder_with_options(matches!(features, Features::OfThisCpu))
        .expect("Cranelift was built for this architecture")
}

fn flags(level: OptLevel) -> settings::Flags {
    let mut builder = settings::builder();
    let level = match level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    let settings = [
        ("opt_level", level),
        ("enable_verifier", "false"),
        ("unwind_info", "false"),
        // A frame of several pages touches each of them: no stack is left without the guard page's notice.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
    ];
    for (name, value) in settings {
        builder.set(name, value).expect("a setting of Cranelift");
    }
    settings::Flags::new(builder)
}

/// Settings that can be enabled by name; presets and computed predicates cannot.
fn cranelift_knows(name: &str) -> bool {
    builder(Features::Baseline).enable(name).is_ok()
}

/// The lowest cap under which an instruction set may be used. AVX and FMA count as encodings of 128-bit and scalar instructions.
fn needs(feature: &str) -> IsaCap {
    match feature {
        name if name.starts_with("has_avx512") => IsaCap::Avx512,
        "has_avx2" | "has_avx_vnni" | "has_vaes" => IsaCap::Avx2,
        _ => IsaCap::Scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_removes_what_lies_above_it_and_nothing_else() {
        let host = Target::host();
        let avx2 = host.capped(IsaCap::Avx2);
        assert!(!avx2.features().iter().any(|name| name.starts_with("has_avx512")));
        assert_eq!(avx2.has("has_avx2"), host.has("has_avx2"));
        let v128 = avx2.capped(IsaCap::V128);
        assert!(!v128.has("has_avx2"));
        assert_eq!(v128.has("has_fma"), host.has("has_fma"));
        assert_eq!(v128.capped(IsaCap::Avx512).cap(), IsaCap::V128, "a cap is never lifted");
    }

    #[test]
    fn a_model_has_what_its_level_has() {
        let host = Target::host();
        let wide = Target::model(IsaCap::Avx512);
        assert!(host.features().iter().all(|name| wide.has(name)), "{host:?} {wide:?}");
        assert!(wide.has("has_avx512bw") && wide.has("has_fma"));
        let narrow = Target::model(IsaCap::Avx2);
        assert!(narrow.has("has_avx2") && !narrow.features().iter().any(|name| name.contains("512")));
    }

    #[test]
    fn keys_tell_targets_apart() {
        let host = Target::host();
        assert_eq!(host.key(), Target::host().key());
        assert_ne!(host.key(), host.capped(IsaCap::Scalar).key());
        assert_ne!(host.capped(IsaCap::Scalar).key(), host.capped(IsaCap::V128).key());
        assert!(Target::generic().features().is_empty());
    }
}

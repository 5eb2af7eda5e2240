//! The floating-point environment that compiled code runs in.
//!
//! In: whatever the host has set (flush-to-zero, other roundings, traps). Out: the IEEE default while a [`FloatEnv`] lives, and what was found
//! again afterwards. Holds: the control register is written only when it has to change.

use std::marker::PhantomData;

/// While it lives, this thread rounds to nearest, keeps denormals and traps nothing.
pub(crate) struct FloatEnv {
    found: register::Word,
    /// The register belongs to the thread, so the guard must not leave it.
    thread: PhantomData<*mut ()>,
}

impl FloatEnv {
    pub(crate) fn enter() -> FloatEnv {
        let found = register::read();
        if found & register::MODES != register::DEFAULT {
            register::write(register::DEFAULT);
        }
        FloatEnv { found, thread: PhantomData }
    }
}

impl Drop for FloatEnv {
    fn drop(&mut self) {
        if register::read() != self.found {
            register::write(self.found);
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod register {
    //! MXCSR: Intel SDM volume 1, 10.2.3.
    use std::arch::asm;

    pub(crate) type Word = u32;
    /// Everything but the six sticky flags.
    pub(crate) const MODES: Word = !0x3f;
    /// All exceptions masked, round to nearest, no flush-to-zero, no denormals-are-zero.
    pub(crate) const DEFAULT: Word = 0x1f80;

    pub(crate) fn read() -> Word {
        let mut word: Word = 0;
        // SAFETY: stmxcsr stores four bytes to the address of `word` and does nothing else.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    pub(crate) fn write(word: Word) {
        // SAFETY: `word` is DEFAULT or came from `read`, so no reserved bit is set. Rust code assumes the default environment: a host that
        // changed it did so before it called us, and gets its own word back.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) mod register {
    //! FPCR: Arm ARM, C5.2.8. The sticky flags live elsewhere (FPSR).
    use std::arch::asm;

    pub(crate) type Word = u64;
    pub(crate) const MODES: Word = !0;
    pub(crate) const DEFAULT: Word = 0;

    pub(crate) fn read() -> Word {
        let word: Word;
        // SAFETY: reads a register that user code may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(crate) fn write(word: Word) {
        // SAFETY: `word` is DEFAULT or came from `read`.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod register {
    //! No register to set.
    pub(crate) type Word = u32;
    pub(crate) const MODES: Word = 0;
    pub(crate) const DEFAULT: Word = 0;

    pub(crate) fn read() -> Word {
        0
    }

    pub(crate) fn write(_: Word) {}
}

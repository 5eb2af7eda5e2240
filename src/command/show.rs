//! `kiln show FILE --stage …`: what the compiler makes of a source.

use super::{ShowArgs, read_script};
use kiln::{Engine, Error};

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Stage {
    /// The syntax tree
    Ast,
    /// The IR, as lowered or after a pass
    Ir,
    /// Cranelift's input
    Clif,
    /// Machine code
    Asm,
}

pub(super) fn show(args: &ShowArgs) -> Result<(), Error> {
    let (name, bytes) = read_script(&args.file)?;
    let engine = Engine::default();
    let stage = match args.stage {
        Stage::Ast => kiln::Stage::Ast,
        Stage::Ir => kiln::Stage::Ir { after: args.after.clone() },
        Stage::Clif => kiln::Stage::Clif,
        Stage::Asm => kiln::Stage::Asm,
    };
    let text = kiln::show(&engine, &name, &bytes, &stage, args.function.as_deref(), args.types.as_deref())?;
    print!("{text}");
    Ok(())
}

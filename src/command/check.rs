//! `kiln check FILE`: mistakes, without running.

use super::{CheckArgs, read_script};
use kiln::{Engine, Error};

pub(super) fn check(args: &CheckArgs) -> Result<(), Error> {
    let (name, bytes) = read_script(&args.file)?;
    let module = Engine::default().compile_bytes(&name, &bytes)?;
    module.check_functions()?;
    println!("{name}: no mistakes found in {} functions", module.functions().len());
    Ok(())
}

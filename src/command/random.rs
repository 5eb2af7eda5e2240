//! `kiln random --raw`: the bits behind the random numbers, for test batteries.
//!
//! In: a generator, a number of streams, a seed. Out: their words on standard output, until the reader goes away.

use super::RandomArgs;
use kiln::{Error, RawStreams};
use std::io::{self, ErrorKind, Write};

/// Words that are written at a time.
const WORDS: usize = 1 << 15;

/// The generators, as the command line spells them.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Generator {
    /// Philox4x32-10
    Philox,
    /// ARS-7
    Ars,
}

pub(super) fn random(args: &RandomArgs) -> Result<(), Error> {
    let generator = match args.generator {
        Generator::Philox => kiln::Generator::Philox,
        Generator::Ars => kiln::Generator::Ars,
    };
    let mut streams = RawStreams::new(generator, args.streams as usize, args.seed);
    match write(&mut streams) {
        // A reader that has gone away (`| head`) ends the command quietly.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::File(format!("standard output: {error}"))),
        Ok(never) => match never {},
    }
}

fn write(streams: &mut RawStreams) -> io::Result<std::convert::Infallible> {
    let mut out = io::stdout().lock();
    let mut words = vec![0; WORDS];
    let mut bytes = vec![0; 8 * WORDS];
    loop {
        streams.fill(&mut words);
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(&words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out.write_all(&bytes)?;
    }
}

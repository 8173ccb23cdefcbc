use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first two bytes of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file's content, decompressed where need be.
pub(super) enum Stream<R> {
    Plain(R),
    Gzip(Box<Gunzip<R>>),
}

impl<R: BufRead> Stream<R> {
    /// Whether a file is compressed is told by its first bytes, whatever its name.
    pub fn open(mut source: R) -> io::Result<Self> {
        let compressed = source.fill_buf()?.starts_with(&MAGIC);
        Ok(if compressed { Self::Gzip(Box::new(Gunzip::new(source))) } else { Self::Plain(source) })
    }

    /// Reads a compressed file to its end, where its checksum is.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(mut source) => io::copy(&mut source, &mut io::sink()).map(|_| ()),
        }
    }
}

impl<R: BufRead> Read for Stream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(out),
            Self::Gzip(source) => source.read(out),
        }
    }
}

/// Decodes gzip files of one or several members (`pigz`, `bgzip` and `cat` make the latter).
/// What follows the last member is ignored, as `gzip` itself does: copies from tapes and some
/// archives end in padding.
pub(super) struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    fn new(compressed: R) -> Self {
        Self { member: Some(GzDecoder::new(compressed)) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let n = member.read(out)?;
            if n > 0 || out.is_empty() {
                self.member = Some(member);
                return Ok(n);
            }
            let mut rest = member.into_inner();
            if rest.fill_buf()?.first() == Some(&MAGIC[0]) {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

use std::io::{self, BufRead, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};

/// The first two bytes of every gzip file.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file's content, decompressed where need be.
pub(crate) enum Stream<R> {
    Plain(R),
    Gzip(Box<Gunzip<R>>),
    Zlib(Box<ZlibDecoder<R>>),
}

impl<R: BufRead> Stream<R> {
    /// Told by its first bytes whether it is compressed, whatever the file's name.
    pub fn by_content(mut source: R) -> io::Result<Self> {
        let compressed = source.fill_buf()?.starts_with(&GZIP);
        Ok(if compressed { Self::gzip(source) } else { Self::Plain(source) })
    }

    pub fn gzip(source: R) -> Self {
        Self::Gzip(Box::new(Gunzip::new(source)))
    }

    pub fn zlib(source: R) -> Self {
        Self::Zlib(Box::new(ZlibDecoder::new(source)))
    }

    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<R: BufRead> Read for Stream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(out),
            Self::Gzip(source) => source.read(out),
            Self::Zlib(source) => source.read(out),
        }
    }
}

/// Decodes gzip files of one or several members (`pigz`, `bgzip` and `cat` make the latter).
/// What follows the last member is ignored, as `gzip` itself does: copies from tapes and some
/// archives end in padding.
pub(crate) struct Gunzip<R> {
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
            if rest.fill_buf()?.first() == Some(&GZIP[0]) {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

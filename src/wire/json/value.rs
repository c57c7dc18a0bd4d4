//! How single values are read: as proto3 JSON allows them, and bounded.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use prost_types::Any;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Source;
use crate::wire::ENTRIES_MAX;
use crate::wire::status::Detail;

/// A `T` that stands in braces. Without this serde would read an array as the keys' values in order.
pub struct Map<T>(pub T);

/// Text; borrowed if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// `map<string, string>`, no key twice.
pub struct Metadata<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Each an object of which the text is kept; its type is read, its fields are not.
pub struct Details(pub Vec<Detail>);

/// The enum's value by name or by number.
pub struct SourceName(pub Source);

/// A uint32 or a uint64: a number without fraction, or the same as a string of digits; null is the default.
pub fn number<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u64> + Default,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Number(PhantomData))
}

struct Number<T>(PhantomData<T>);

impl<T: TryFrom<u64> + Default> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of {} bits", 8 * size_of::<T>())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        // 2^64; every float below it without a fraction is a u64.
        if (0.0..18_446_744_073_709_551_616.0).contains(&value) && value.fract() == 0.0 {
            self.visit_u64(value as u64)
        } else {
            Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        match text.parse() {
            Ok(value) if text.bytes().all(|byte| byte.is_ascii_digit()) => self.visit_u64(value),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
}

// === impl Map ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Braces<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Braces<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Braces(PhantomData)).map(Map)
    }
}

// === impl Metadata ===

impl<'de: 'a, 'a> Deserialize<'de> for Metadata<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Metadata<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata<'de>, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    if entries.len() == ENTRIES_MAX {
                        return Err(A::Error::custom("`metadata` has more than 64 entries"));
                    }
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format_args!("duplicate metadata key `{key}`")));
                    }
                    entries.push((key, value));
                }
                Ok(Metadata(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

// === impl Details ===

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct TypeKey<'a> {
            #[serde(rename = "@type", borrow)]
            type_url: Option<Text<'a>>,
        }

        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Details;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects with `@type`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Details, A::Error> {
                let mut details = Vec::new();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    if details.len() == ENTRIES_MAX {
                        return Err(A::Error::custom("`details` has more than 64 entries"));
                    }
                    let Map(TypeKey { type_url }) = serde_json::from_str(raw.get()).map_err(A::Error::custom)?;
                    let type_url = type_url.map_or_else(String::new, |Text(name)| name.into_owned());
                    details.push(Detail { any: Any { type_url, value: Vec::new() }, json: Some(raw.get().to_owned()) });
                }
                Ok(Details(details))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

// === impl SourceName ===

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumber;

        impl Visitor<'_> for NameOrNumber {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`GATEWAY` or `BACKEND`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Source, E> {
                match name {
                    "GATEWAY" => Ok(Source::Gateway),
                    "BACKEND" => Ok(Source::Backend),
                    _ => Err(E::unknown_variant(name, &["GATEWAY", "BACKEND"])),
                }
            }

            /// As in protobuf, a number that nobody defined reads as the default.
            fn visit_u64<E: Error>(self, number: u64) -> Result<Source, E> {
                Ok(if number == 1 { Source::Backend } else { Source::Gateway })
            }
        }

        deserializer.deserialize_any(NameOrNumber).map(SourceName)
    }
}

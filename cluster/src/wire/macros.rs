//! How structs and enums say what their fields are and which tags they have.

/// A struct: its fields, each with its tag.
macro_rules! wire_struct {
    ($type:ty { $($tag:literal $field:ident),* $(,)? }) => {
        impl $crate::wire::Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $( $crate::wire::Field::put_field(&self.$field, $tag, to); )*
            }

            fn take(mut from: bytes::Bytes) -> Result<Self, $crate::wire::Malformed> {
                $( let mut $field = None; )*
                while let Some((tag, body)) = $crate::wire::take_body(&mut from)? {
                    match tag {
                        $( $tag => $crate::wire::Field::take_field(&mut $field, body)?, )*
                        _ => {}
                    }
                }
                Ok(Self { $( $field: $crate::wire::Field::finish($field)? ),* })
            }
        }
    };
}

/// An enum: its variants without fields, with one value, and with named fields; each with its tag.
macro_rules! wire_enum {
    ($type:ty {
        $( unit { $($unit_tag:literal $unit:ident),* $(,)? } )?
        $( value { $($value_tag:literal $value:ident),* $(,)? } )?
        $( fields { $($tag:literal $variant:ident { $($field_tag:literal $field:ident),* $(,)? }),* $(,)? } )?
    }) => {
        impl $crate::wire::Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $( $( Self::$unit => $crate::wire::put_body($unit_tag, to, |_| {}), )* )?
                    $( $( Self::$value(value) => {
                        $crate::wire::put_body($value_tag, to, |to| $crate::wire::Field::put_field(value, 1, to));
                    } )* )?
                    $( $( Self::$variant { $($field),* } => $crate::wire::put_body($tag, to, |to| {
                        $( $crate::wire::Field::put_field($field, $field_tag, to); )*
                    }), )* )?
                }
            }

            #[allow(unused_mut, unused_variables, reason = "a variant may have no fields")]
            fn take(mut from: bytes::Bytes) -> Result<Self, $crate::wire::Malformed> {
                let Some((tag, mut body)) = $crate::wire::take_body(&mut from)? else {
                    return Err($crate::wire::Malformed("a variant is missing"));
                };
                match tag {
                    $( $( $unit_tag => Ok(Self::$unit), )* )?
                    $( $( $value_tag => {
                        let mut value = None;
                        while let Some((tag, body)) = $crate::wire::take_body(&mut body)? {
                            if tag == 1 {
                                $crate::wire::Field::take_field(&mut value, body)?;
                            }
                        }
                        Ok(Self::$value($crate::wire::Field::finish(value)?))
                    } )* )?
                    $( $( $tag => {
                        $( let mut $field = None; )*
                        while let Some((tag, body)) = $crate::wire::take_body(&mut body)? {
                            match tag {
                                $( $field_tag => $crate::wire::Field::take_field(&mut $field, body)?, )*
                                _ => {}
                            }
                        }
                        Ok(Self::$variant { $( $field: $crate::wire::Field::finish($field)? ),* })
                    } )* )?
                    _ => Err($crate::wire::Malformed("a variant is unknown")),
                }
            }
        }
    };
}

/// Enums without fields, by number.
macro_rules! wire_codes {
    ($type:ty { $($code:literal $variant:ident),* $(,)? }) => {
        impl $crate::wire::Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                let code: u64 = match self { $( Self::$variant => $code, )* };
                $crate::wire::put_int(code, to);
            }

            fn take(from: bytes::Bytes) -> Result<Self, $crate::wire::Malformed> {
                match $crate::wire::take_int(from)? {
                    $( $code => Ok(Self::$variant), )*
                    _ => Err($crate::wire::Malformed("a code is unknown")),
                }
            }
        }
    };
}

pub(crate) use {wire_codes, wire_enum, wire_struct};

//! Tools whose arguments are a Rust type: what the model is told of them derives from it, and what
//! the model writes is read into it.

use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Tool, failed, strict};
use crate::chat::{ToolOutput, ToolSpec};

/// A tool whose arguments are a type. Doc comments of its fields are what the model is told of
/// them; an `Option` is what the model may leave out.
pub trait TypedTool: Send + Sync + 'static {
    /// What the tool takes.
    type Arguments: DeserializeOwned + JsonSchema + Send;

    /// Wire name.
    const NAME: &'static str;

    /// One or two sentences for the model: what it does and when to use it.
    const DESCRIPTION: &'static str;

    /// Adds to the schema what is known at run time only, such as the values of a list.
    fn complete(&self, _schema: &mut Value) {}

    /// Runs the tool; see [`Tool::call`].
    fn run(&self, arguments: Self::Arguments) -> BoxFuture<'static, ToolOutput>;

    /// Runs the tool for a program; see [`Tool::call_for_program`].
    fn run_for_program(&self, _arguments: Self::Arguments) -> Option<BoxFuture<'static, Value>> {
        None
    }
}

impl<T: TypedTool> Tool for T {
    fn spec(&self) -> ToolSpec {
        let settings = SchemaSettings::draft2020_12().with(|it| {
            it.meta_schema = None;
            it.inline_subschemas = true;
        });
        let schema = settings
            .into_generator()
            .into_root_schema_for::<T::Arguments>();
        let mut schema = schema.to_value();
        self.complete(&mut schema);
        let strict = strict::strict(schema.clone());
        ToolSpec {
            name: T::NAME.to_owned(),
            description: T::DESCRIPTION.to_owned(),
            is_strict: strict.is_some(),
            parameters: strict.unwrap_or(schema),
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        match read(arguments) {
            Ok(arguments) => self.run(arguments),
            Err(text) => Box::pin(async move { failed(text) }),
        }
    }

    fn call_for_program(&self, arguments: &Value) -> Option<BoxFuture<'static, Value>> {
        // What is wrong with the arguments, `call` says.
        self.run_for_program(read(arguments.clone()).ok()?)
    }
}

/// The arguments as the tool takes them, or what the model has to change.
fn read<T: DeserializeOwned>(mut arguments: Value) -> Result<T, String> {
    strict::drop_nulls(&mut arguments);
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let why = error.inner();
        match error.path().to_string().as_str() {
            "." => format!("the arguments do not fit: {why}; please call again"),
            path => format!("the argument `{path}` does not fit: {why}; please call again"),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::tools::said;

    struct Book;

    #[derive(Deserialize, JsonSchema)]
    struct Booking {
        /// Who comes.
        name: String,
        guests: u8,
        /// Where to sit.
        place: Option<Place>,
        #[serde(default)]
        wishes: Vec<Wish>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Place {
        Inside,
        /// Only in summer.
        Outside,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Wish {
        text: String,
        until: Option<u32>,
    }

    impl TypedTool for Book {
        type Arguments = Booking;
        const NAME: &'static str = "book";
        const DESCRIPTION: &'static str = "Books a table.";

        fn run(&self, it: Booking) -> BoxFuture<'static, ToolOutput> {
            let place = match it.place {
                Some(Place::Inside) => "inside",
                Some(Place::Outside) => "outside",
                None => "anywhere",
            };
            let wishes: Vec<String> = (it.wishes.iter())
                .map(|wish| format!("{} {:?}", wish.text, wish.until))
                .collect();
            let text = format!("{} x{} {place} {wishes:?}", it.name, it.guests);
            Box::pin(async move { said(text) })
        }
    }

    #[test]
    fn the_schema_is_as_strict_mode_wants_it() {
        let spec = Book.spec();
        assert!(spec.is_strict);
        let text = |description: &str| json!({"type": "string", "description": description});
        let expected = json!({
            "type": "object",
            "properties": {
                "name": text("Who comes."),
                "guests": {"type": "integer", "minimum": 0, "maximum": 255},
                "place": {
                    "description": "Where to sit.",
                    "anyOf": [
                        {"anyOf": [
                            {"type": "string", "enum": ["inside"]},
                            {"type": "string", "enum": ["outside"], "description": "Only in summer."},
                        ]},
                        {"type": "null"},
                    ],
                },
                "wishes": {
                    "type": ["array", "null"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": {"type": "string"},
                            "until": {"type": ["integer", "null"], "minimum": 0},
                        },
                        "required": ["text", "until"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["guests", "name", "place", "wishes"],
            "additionalProperties": false,
        });
        assert_eq!(sorted(spec.parameters), sorted(expected));
    }

    /// The same schema with its lists of names in order.
    fn sorted(mut schema: Value) -> Value {
        if let Some(Value::Array(names)) = schema.get_mut("required") {
            names.sort_by_key(ToString::to_string);
        }
        schema
    }

    #[tokio::test]
    async fn what_is_null_or_left_out_is_none() {
        let full = json!({
            "name": "Ada", "guests": 2, "place": "outside",
            "wishes": [{"text": "a window", "until": null}],
        });
        assert_eq!(
            Book.call(full).await.text,
            "Ada x2 outside [\"a window None\"]"
        );
        for arguments in [
            json!({"name": "Ada", "guests": 2}),
            json!({"name": "Ada", "guests": 2, "place": null, "wishes": null}),
        ] {
            assert_eq!(Book.call(arguments).await.text, "Ada x2 anywhere []");
        }
    }

    #[tokio::test]
    async fn the_model_is_told_which_argument_does_not_fit() {
        for (arguments, expected) in [
            (json!({"guests": 2}), "missing field `name`"),
            (
                json!({"name": "Ada", "guests": 900}),
                "the argument `guests` does not fit",
            ),
            (
                json!({"name": 7, "guests": 2}),
                "the argument `name` does not fit",
            ),
            (
                json!({"name": "Ada", "guests": 2, "wishes": [{"text": "a"}, {"text": []}]}),
                "the argument `wishes[1].text` does not fit",
            ),
            (
                json!({"name": "Ada", "guests": 2, "place": "roof"}),
                "unknown variant `roof`, expected `inside` or `outside`",
            ),
        ] {
            let output = Book.call(arguments).await;
            assert!(
                output.is_error && output.text.contains(expected),
                "{}",
                output.text
            );
        }
    }
}

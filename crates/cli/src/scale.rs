//! `scale TYPE/NAME --replicas N`

use serde_json::{Value, json};

use crate::connection::{Connection, MERGE_PATCH, Session};
use crate::discovery::Catalog;
use crate::{Error, Result, output, targets};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// TYPE/NAME or TYPE NAME...
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub targets: Vec<String>,
    /// How many there shall be
    #[arg(long)]
    pub replicas: u32,
    /// How many there must be now; -1 for any number
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub current_replicas: i64,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(args: &Args) -> Result<()> {
    let session = Session::open(&args.connection).await?;
    let catalog = Catalog::load(&session).await?;
    for target in targets::parse(&catalog, &args.targets, "scale")? {
        if target.names.is_empty() {
            return Err(Error::plain("resource(s) were provided, but no name was specified"));
        }
        for name in &target.names {
            let path = format!("{}/scale", target.resource.object_path(&session.namespace, name));
            let mut patch = json!({"spec": {"replicas": args.replicas}});
            if args.current_replicas >= 0 {
                let scale = session.get(&path).await?;
                expect(&scale, args.current_replicas)?;
                patch["metadata"] = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
            }
            session.patch(&path, MERGE_PATCH, &patch).await?;
            output::print(&format!("{}/{name} scaled\n", target.resource.label()))?;
        }
    }
    Ok(())
}

fn expect(scale: &Value, expected: i64) -> Result<()> {
    let found = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    Err(Error::plain(format!("Expected replicas to be {expected}, was {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_number_can_be_a_condition() {
        let scale = json!({"spec": {"replicas": 2}});
        assert!(expect(&scale, 2).is_ok());
        assert_eq!(expect(&scale, 3).unwrap_err().to_string(), "error: Expected replicas to be 3, was 2");
    }
}

//! News: what other nodes change in the registry is read again here, so that all nodes answer alike.
//!
//! A hint, heard within moments. Whoever missed one is told that anything may have changed once it is heard again.

use std::{sync::Weak, time::Duration};

use cluster::router::News;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{error::Error, frontend::Frontend, queue::settings};

/// How long until the registry is asked again that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Reads again what others have changed, for as long as there is a frontend.
pub(crate) async fn follow(frontend: Weak<Frontend>, mut news: Receiver<News>) {
    loop {
        let news = match news.recv().await {
            Ok(news) => news,
            Err(RecvError::Lagged(_)) => News::Anything,
            Err(RecvError::Closed) => return,
        };
        while let Some(frontend) = frontend.upgrade() {
            match read(&frontend, &news).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "news of another node not read"),
            }
            drop(frontend);
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn read(frontend: &Frontend, news: &News) -> Result<(), Error> {
    match news {
        News::Namespaces => frontend.namespaces.reload().await,
        News::QueueSettings(row) => settings::read_again(frontend, row).await,
        News::Anything => {
            frontend.namespaces.reload().await?;
            settings::load(frontend).await
        }
        // The router reads it by itself.
        News::ShardMap => Ok(()),
    }
}

//! Images from archives and from a registry on loopback.

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use archive::{Blob, Compression, ImageBuilder, Layer};
use auth::pki::{Authority, LeafSpec};
use common::{Node, busybox, shell};
use containers::{ContainerConfig, Registries, RegistryAuth, Runtime};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

fn file_image(text: &str) -> ImageBuilder {
    ImageBuilder::default()
        .layer(Layer::default().file("etc/motd", 0o644, text.as_bytes()).unwrap())
        .unwrap()
        .command(&["/x"])
}

#[tokio::test]
async fn archives_of_both_kinds_and_all_compressions_are_taken_in() {
    let node = Node::new().await;
    for (index, compression) in [Compression::None, Compression::Gzip, Compression::Zstd].into_iter().enumerate() {
        let (one, two) = (
            file_image(&format!("one {index}")).compression(compression),
            file_image(&format!("two {index}")).compression(compression),
        );
        let path = node.directory.path().join("oci.tar");
        let names = [format!("one:{index}"), format!("registry.example/two:{index}")];
        archive::write_oci(&[(&names[0], &one), (&names[1], &two)], fs::File::create(&path).unwrap()).unwrap();
        let (sender, mut progress) = mpsc::channel(1000);
        let images = node.runtime.import_images(&path, sender).await.unwrap();
        assert_eq!(images[0].tags, [format!("docker.io/library/one:{index}")]);
        assert_eq!(images[1].tags, [format!("registry.example/two:{index}")]);
        assert_eq!(images[0].id, one.id());
        let (read, total) = progress.recv().await.unwrap();
        assert!(read > 0 && read <= total);
    }
    let images = node.import(&[(&["a:1", "b:2"], &file_image("docker")), (&["c:3"], &file_image("more"))]).await;
    assert_eq!(images[0].tags, ["docker.io/library/a:1", "docker.io/library/b:2"]);
    assert_eq!(node.runtime.image("b:2").await.unwrap().unwrap().id, images[0].id);
    assert_eq!(node.runtime.image(&images[0].id[7..19]).await.unwrap().unwrap().id, images[0].id);
    assert_eq!(node.runtime.image("d").await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_archive_leaves_nothing() {
    let node = Node::new().await;
    let path = node.directory.path().join("oci.tar");
    archive::write_oci(&[("bad:1", &file_image("some content"))], fs::File::create(&path).unwrap()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"some content").unwrap();
    bytes[at] = b'S';
    fs::write(&path, bytes).unwrap();
    let error = node.runtime.import_images(&path, mpsc::channel(1).0).await.unwrap_err().to_string();
    assert!(error.contains("wrong diff id"), "{error}");
    assert_eq!(node.runtime.image("bad:1").await.unwrap(), None);
    assert_eq!(fs::read_dir(node.root().join("images/ingest")).unwrap().count(), 0);
}

#[tokio::test]
async fn upper_layers_hide_what_lies_below() {
    let node = Node::new().await;
    let image = busybox()
        .layer(Layer::default().file("data/old", 0o644, b"old").unwrap().file("data/kept", 0o644, b"kept").unwrap())
        .unwrap()
        .layer(Layer::default().whiteout("data/old").unwrap().file("data/new", 0o644, b"new").unwrap())
        .unwrap();
    node.import(&[(&["layers:1"], &image)]).await;
    let sandbox = node.sandbox().await;
    let id = node.run_in(&sandbox, &ContainerConfig { image: "layers:1".to_owned(), ..shell("ls /data") }).await;
    node.ended(&id).await;
    assert_eq!(node.lines(&id).await, ["kept", "new"]);
}

#[tokio::test]
async fn images_in_use_stay_and_others_go_with_their_layers() {
    let node = Node::new().await;
    node.import(&[(&["x:1", "y:1"], &file_image("x"))]).await;
    let layers = || fs::read_dir(node.root().join("images/layers")).unwrap().count();
    assert_eq!(layers(), 3);
    node.runtime.remove_image("x:1").await.unwrap();
    assert_eq!(node.runtime.image("y:1").await.unwrap().unwrap().tags, ["docker.io/library/y:1"]);
    node.runtime.remove_image("y:1").await.unwrap();
    node.runtime.remove_image("y:1").await.unwrap();
    assert_eq!(layers(), 2);
    let id = node.run_script("exit 0").await;
    node.ended(&id).await;
    assert!(node.runtime.remove_image(common::IMAGE).await.unwrap_err().to_string().contains("in use"));
    node.runtime.remove_container(&id).await.unwrap();
    node.runtime.remove_image(common::IMAGE).await.unwrap();
    let filesystem = node.runtime.image_filesystem().await.unwrap();
    assert!(filesystem.used_bytes == 0 && filesystem.capacity_bytes > filesystem.available_bytes, "{filesystem:?}");
}

/// A registry of one repository, `app`, that counts its answers by path.
struct Registry {
    documents: BTreeMap<String, Blob>,
    /// `Basic ...`, when it wants one.
    authorization: Option<String>,
    blobs_sent: AtomicUsize,
}

impl Registry {
    async fn serve(image: &ImageBuilder, authorization: Option<&str>) -> (Arc<Registry>, String) {
        let registry = Registry::of(image, authorization);
        let address = registry.clone().listen(None).await;
        (registry, address)
    }

    fn of(image: &ImageBuilder, authorization: Option<&str>) -> Arc<Registry> {
        let blobs = image.blobs().unwrap();
        let mut documents = BTreeMap::from([
            ("/v2/app/manifests/1".to_owned(), blobs.manifest.clone()),
            (format!("/v2/app/manifests/{}", blobs.manifest.digest), blobs.manifest),
        ]);
        documents.extend(
            blobs.layers.into_iter().chain([blobs.config]).map(|blob| (format!("/v2/app/blobs/{}", blob.digest), blob)),
        );
        let authorization = authorization.map(str::to_owned);
        Arc::new(Registry { documents, authorization, blobs_sent: AtomicUsize::new(0) })
    }

    /// Serves on a port of the loopback; answers its address.
    async fn listen(self: Arc<Self>, tls: Option<TlsAcceptor>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (registry, tls) = (self.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return registry.connection(stream).await };
                    // Who does not trust the registry leaves in the handshake.
                    if let Ok(stream) = tls.accept(stream).await {
                        registry.connection(stream).await;
                    }
                });
            }
        });
        address
    }

    async fn connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = hyper::service::service_fn(move |request| {
            let registry = self.clone();
            async move { Ok::<_, Infallible>(registry.answer(&request)) }
        });
        // The client may close it at any time.
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if self.authorization.is_some() && sent != self.authorization.as_deref() {
            let answer = Response::builder().status(401).header("www-authenticate", "Basic realm=\"test\"");
            return answer.body(Full::default()).unwrap();
        }
        let path = request.uri().path();
        let Some(blob) = self.documents.get(path) else {
            let status = if path == "/v2/" { 200 } else { 404 };
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Full::from(body))
                .unwrap();
        };
        if path.contains("/blobs/") {
            self.blobs_sent.fetch_add(1, Ordering::Relaxed);
        }
        let answer =
            Response::builder().header("content-type", &blob.media_type).header("docker-content-digest", &blob.digest);
        answer.body(Full::from(blob.bytes.clone())).unwrap()
    }
}

#[tokio::test]
async fn pulls_are_shared_and_run() {
    let node = Node::new().await;
    let image = busybox()
        .layer(Layer::default().file("pulled", 0o644, b"yes").unwrap())
        .unwrap()
        .compression(Compression::Gzip);
    let (registry, address) = Registry::serve(&image, None).await;
    let name = format!("{address}/app:1");
    let pulls = futures::future::join_all((0..5).map(|_| node.runtime.pull_image(&name, None))).await;
    for pulled in pulls {
        let pulled = pulled.unwrap();
        assert_eq!((pulled.id, pulled.tags), (image.id(), vec![name.clone()]));
        assert!(pulled.digests[0].starts_with(&format!("{address}/app@sha256:")));
    }
    // The configuration and the one layer that was not here.
    assert_eq!(registry.blobs_sent.load(Ordering::Relaxed), 2);
    let sandbox = node.sandbox().await;
    let id = node.run_in(&sandbox, &ContainerConfig { image: name, ..shell("cat /pulled") }).await;
    node.ended(&id).await;
    assert_eq!(node.lines(&id).await, ["yes"]);
}

#[tokio::test]
async fn missing_images_and_wrong_passwords_are_told_as_upstream_tells_them() {
    let node = Node::new().await;
    let (_registry, address) = Registry::serve(&file_image("x"), None).await;
    let name = format!("{address}/app:2");
    let error = node.runtime.pull_image(&name, None).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": {name}: not found"
        )
    );

    let (_registry, address) = Registry::serve(&file_image("x"), Some("Basic bWU6c2VjcmV0")).await;
    let name = format!("{address}/app:1");
    let error = node.runtime.pull_image(&name, None).await.unwrap_err().to_string();
    assert!(error.contains("pull access denied"), "{error}");
    let auth = RegistryAuth { username: "me".to_owned(), password: "secret".to_owned() };
    node.runtime.pull_image(&name, Some(&auth)).await.unwrap();
}

#[tokio::test]
async fn a_registry_with_an_authority_of_its_own_is_spoken_to_with_tls() {
    let node = Node::new().await;
    let authority = Authority::create("registry").unwrap();
    let (certificate, key) =
        authority.issue(&LeafSpec::server("registry", Vec::new(), vec!["127.0.0.1".parse().unwrap()])).unwrap();
    let identity = auth::tls::Identity::from_pem(&certificate, &key).unwrap();
    let mut tls = auth::tls::server_config(identity, auth::tls::ClientAuth::None).unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let image = file_image("safe");
    let address = Registry::of(&image, None).listen(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let name = format!("{address}/app:1");

    let certificates = node.directory.path().join("certs.d");
    let trust = |authority: &Authority| {
        let directory = certificates.join(&address);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("ca.crt"), authority.certificate_pem().unwrap()).unwrap();
    };
    node.runtime.configure_registries(Registries { certificates: Some(certificates.clone()), ..Registries::default() });
    trust(&Authority::create("another").unwrap());
    let error = node.runtime.pull_image(&name, None).await.unwrap_err().to_string();
    assert!(error.contains("failed to resolve reference"), "{error}");
    trust(&authority);
    let pulled = node.runtime.pull_image(&name, None).await.unwrap();
    assert_eq!(pulled.id, image.id());
}

//! DNS messages around [`Names`]: answers, aliases, negative answers, forwarding.

use async_trait::async_trait;
use hickory_proto::op::{Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use crate::names::{Answer, Data, Kind, Names};

/// Seconds that clients may keep an answer; short, since pods come and go.
const TTL: u32 = 5;

pub struct Handler {
    names: Names,
    /// Nothing where the node knows no name server.
    upstream: Option<TokioResolver>,
}

/// What one message says.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    answers: Vec<Record>,
    soa: Vec<Record>,
    additionals: Vec<Record>,
    authoritative: bool,
}

impl Handler {
    pub fn new(names: Names, upstream: Option<TokioResolver>) -> Self {
        Self { names, upstream }
    }

    async fn reply(&self, name: &LowerName, of_type: RecordType) -> Reply {
        let name = Name::from(name);
        if !self.names.is_ready() {
            return Reply { code: ResponseCode::ServFail, ..Reply::default() };
        }
        match self.names.resolve(&text(&name), kind(of_type)) {
            Answer::Elsewhere => self.forward(name, of_type).await,
            Answer::NoSuchName => {
                Reply { code: ResponseCode::NXDomain, soa: vec![self.soa()], authoritative: true, ..Reply::default() }
            }
            Answer::Records(records) => self.authoritative(&name, of_type, records).await,
        }
    }

    async fn authoritative(&self, name: &Name, of_type: RecordType, records: Vec<Data>) -> Reply {
        let mut reply = Reply { authoritative: true, ..Reply::default() };
        for data in records {
            let Some(record) = record(name, &data) else { continue };
            reply.answers.push(record);
            match data {
                Data::Srv { host, .. } => reply.additionals.extend(self.addresses_of(&host)),
                Data::Cname(target) if of_type != RecordType::CNAME => {
                    reply.answers.extend(self.follow(&target, of_type).await);
                }
                _ => {}
            }
        }
        if reply.answers.is_empty() {
            reply.soa.push(self.soa());
        }
        reply
    }

    /// The records of an alias' target, in the cluster or out of it.
    async fn follow(&self, target: &str, of_type: RecordType) -> Vec<Record> {
        let Ok(name) = Name::from_ascii(format!("{target}.")) else { return Vec::new() };
        match self.names.resolve(target, kind(of_type)) {
            Answer::Records(records) => records.iter().filter_map(|data| record(&name, data)).collect(),
            Answer::NoSuchName => Vec::new(),
            Answer::Elsewhere => self.forward(name, of_type).await.answers,
        }
    }

    fn addresses_of(&self, host: &str) -> Vec<Record> {
        let Ok(name) = Name::from_ascii(format!("{host}.")) else { return Vec::new() };
        let kinds = [Kind::A, Kind::Aaaa].into_iter();
        let found = kinds.flat_map(|kind| match self.names.resolve(host, kind) {
            Answer::Records(records) => records,
            Answer::NoSuchName | Answer::Elsewhere => Vec::new(),
        });
        found.filter_map(|data| record(&name, &data)).collect()
    }

    async fn forward(&self, name: Name, of_type: RecordType) -> Reply {
        let Some(upstream) = &self.upstream else {
            return Reply { code: ResponseCode::Refused, ..Reply::default() };
        };
        match upstream.lookup(name, of_type).await {
            Ok(lookup) => Reply { answers: lookup.answers().to_vec(), ..Reply::default() },
            Err(error) if error.is_nx_domain() => Reply { code: ResponseCode::NXDomain, ..Reply::default() },
            Err(error) if error.is_no_records_found() => Reply::default(),
            Err(error) => {
                tracing::debug!(%error, "forwarding failed");
                Reply { code: ResponseCode::ServFail, ..Reply::default() }
            }
        }
    }

    fn soa(&self) -> Record {
        const REFRESH: i32 = 7200;
        const RETRY: i32 = 1800;
        const EXPIRE: i32 = 86_400;
        let absolute = |prefix: &str| Name::from_ascii(format!("{prefix}{}.", self.names.domain())).unwrap_or_default();
        let serial = u32::try_from(clock::now().as_second()).unwrap_or(u32::MAX);
        let soa = SOA::new(absolute("ns.dns."), absolute("hostmaster."), serial, REFRESH, RETRY, EXPIRE, TTL);
        Record::from_rdata(absolute(""), TTL, RData::SOA(soa))
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut respond: R) -> ResponseInfo {
        let reply = match request.request_info() {
            Ok(info) => self.reply(info.query.name(), info.query.query_type()).await,
            Err(_) => Reply { code: ResponseCode::FormErr, ..Reply::default() },
        };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = self.upstream.is_some();
        let builder = MessageResponseBuilder::from_message_request(request);
        let response = builder.build(metadata, &reply.answers, [], &reply.soa, &reply.additionals);
        match respond.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, client = %request.src(), "answer not sent");
                hickory_proto::op::Header { metadata, counts: Default::default() }.into()
            }
        }
    }
}

/// The servers of the node's own `/etc/resolv.conf`.
pub fn upstream() -> Option<TokioResolver> {
    let upstream = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    if let Err(error) = &upstream {
        tracing::warn!(%error, "no name server to forward to: only names of the cluster resolve");
    }
    upstream.ok()
}

fn kind(of_type: RecordType) -> Kind {
    match of_type {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::TXT => Kind::Txt,
        RecordType::CNAME => Kind::Cname,
        _ => Kind::Other,
    }
}

fn record(name: &Name, data: &Data) -> Option<Record> {
    const PRIORITY: u16 = 0;
    const WEIGHT: u16 = 100;
    let absolute = |name: &str| Name::from_ascii(format!("{name}.")).ok();
    let data = match data {
        Data::A(address) => RData::A(A(*address)),
        Data::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Data::Srv { port, host } => RData::SRV(SRV::new(PRIORITY, WEIGHT, *port, absolute(host)?)),
        Data::Ptr(host) => RData::PTR(PTR(absolute(host)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
        Data::Cname(target) => RData::CNAME(CNAME(absolute(target)?)),
    };
    Some(Record::from_rdata(name.clone(), TTL, data))
}

/// Lower case and without the last dot.
fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}

//! Behind a proxy: who the client is, by the PROXY protocol and by headers, over sockets.

use crate::support::*;
use crate::wire::Wire;
use e2e::harness::{Service, poll};
use rustix::process::{Signal, kill_process};
use std::net::Ipv4Addr;

const FORMAT: &str = "workers.count = 1\nproxy.trusted = \"127.0.0.2,198.51.100.0/24\"\n\
                      log.access_format = '%(s)s %(h)s %(client)s %(u)s %(reason)s %(r)s'\n";

const REQUEST: &str = "GET /name HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n";

/// The proxy. The harness asks from 127.0.0.1, which is nobody's proxy here.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn connect(service: &Service) -> Wire {
    Wire::connect_from(PROXY, service.address).expect("the service listens")
}

/// Sends these bytes, a few at a time, and gives the access line with this target.
fn line_of(service: &Service, bytes: &[u8], target: &str) -> String {
    let mut wire = connect(service);
    for part in bytes.chunks(7) {
        wire.send(part);
    }
    let answer = wire.answer();
    assert!(answer.is_ok(), "{answer:?}:\n{}", service.log());
    service.wait_access(&[target], START)
}

fn request(name: &str, headers: &str) -> Vec<u8> {
    format!("{}{headers}\r\n", REQUEST.replace("name", name)).into_bytes()
}

/// Version 2: signature, version with command, family, length, addresses.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut head = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    head.extend([0x20 | command, family, 0, addresses.len() as u8]);
    head.extend(addresses);
    head
}

#[test]
fn the_proxy_protocol_names_the_peer_of_a_connection() {
    let _together = together();
    let service = service(&format!("{FORMAT}proxy.protocol = \"auto\""));
    let v1 = |who: &str| format!("PROXY {who}\r\n").into_bytes();
    let ipv4 = [192, 0, 2, 9, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
    let mut ipv6 = [0; 36];
    ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    ipv6[15] = 7;
    for (name, head, headers, expected) in [
        ("one", v1("TCP4 192.0.2.9 192.0.2.1 4711 80"), "", "192.0.2.9 192.0.2.9"),
        ("two", v1("TCP6 2001:db8::7 ::1 4711 80"), "", "2001:db8::7 2001:db8::7"),
        ("three", v1("UNKNOWN"), "", "127.0.0.2 127.0.0.2"),
        ("four", v2(1, 0x11, &ipv4), "", "192.0.2.9 192.0.2.9"),
        ("five", v2(1, 0x21, &ipv6), "", "2001:db8::7 2001:db8::7"),
        ("six", v2(0, 0, &[]), "", "127.0.0.2 127.0.0.2"),
        // Whom it names is believed about others only if it is one of ours.
        ("seven", v2(1, 0x11, &ipv4), "X-Forwarded-For: 203.0.113.5\r\n", "192.0.2.9 192.0.2.9"),
        (
            "eight",
            v1("TCP4 198.51.100.3 192.0.2.1 4711 80"),
            "X-Forwarded-For: 203.0.113.5\r\n",
            "198.51.100.3 203.0.113.5",
        ),
    ] {
        let bytes = [head, request(name, headers)].concat();
        let line = line_of(&service, &bytes, &format!("/{name} "));
        let rest = line.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
        assert!(rest.starts_with(expected), "{name}: {line}");
    }
    // A peer that must say so and does not is refused, with a line.
    let line = line_of(&service, &request("nine", ""), "/nine ");
    assert!(line.starts_with("400 127.0.0.2 127.0.0.2 - "), "{line}");
}

#[test]
fn the_chain_of_each_request_is_told_while_somebody_asks_for_it() {
    let _together = together();
    let service = service(FORMAT);
    let headers = "X-Forwarded-For: 6.6.6.6, 203.0.113.5, 198.51.100.3\r\n";
    line_of(&service, &request("before", headers), "/before ");
    let told = service.control_ok(&["doctor", "client-ip", "--live", "3s"]);
    assert!(told.contains("mainstay::client"), "{told}");
    let mut count = 0;
    let said = poll(START, || {
        count += 1;
        let name = format!("asked-{count}");
        line_of(&service, &request(&name, headers), &format!("/{name} "));
        service.log_lines(&["hop 2: 203.0.113.5", "the client", &name]).pop()
    });
    let said = said.unwrap_or_else(|| panic!("no chain is told:\n{}", service.log()));
    let words = ["[DEBUG]", "peer 127.0.0.2: in proxy.trusted", "hop 1: 198.51.100.3"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    service.wait_log(&["again, of module too"], START);
    line_of(&service, &request("after", headers), "/after ");
    // Lines of one process keep their order: behind this one nothing is to come any more.
    line_of(&service, &request("log?n=1", ""), "/log?n=1 ");
    service.wait_log(&["record 1: around another"], START);
    assert!(service.log_lines(&["the client", "/after"]).is_empty(), "{}", service.log());
    assert!(service.log_lines(&["the client", "/before"]).is_empty());
}

#[test]
fn the_line_of_a_killed_request_tells_its_user() {
    let _together = together();
    let service = service(FORMAT);
    let status = service.wait_workers(1, START);
    let mut wire = connect(&service);
    // alice:secret
    wire.send(&request("slow?ms=60000", "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"));
    service.wait_status("the request in flight", START, |status| in_flight(status) == 1);
    kill_process(pid(status.pids()[0]), Signal::KILL).expect("a worker to kill");
    let line = service.wait_access(&["/slow?ms=60000 "], START);
    assert!(line.starts_with("502 127.0.0.2 127.0.0.2 alice worker_"), "{line}");
}

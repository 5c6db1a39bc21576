/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_options.c - the tables of the core's own sections.
 *
 * The only place where their keys, defaults and limits stand: reading, help and the man page come
 * from here. What no table can express is checked in relay_check.c.
 */
#include <core/base/log.h>
#include <core/config/relay_tables.h>
#include <core/net/tls.h>

static const struct pn_choice log_levels[] = {
	{ "error", PN_LOG_ERROR, "somebody must act" },
	{ "warning", PN_LOG_WARNING, "somebody should look" },
	{ "notice", PN_LOG_NOTICE, "messages accepted, delivered, refused" },
	{ "info", PN_LOG_INFO, "detail an operator may want" },
	{ "debug", PN_LOG_DEBUG, "detail an author of modules may want" },
	{ NULL, 0, NULL },
};

static const struct pn_choice tls_versions[] = {
	{ "TLSv1.2", TLS_MIN_1_2, NULL },
	{ "TLSv1.3", TLS_MIN_1_3, NULL },
	{ NULL, 0, NULL },
};

static const struct pn_choice listener_tls[] = {
	{ "none", CONFIG_TLS_NONE, "always in clear" },
	{ "starttls", CONFIG_TLS_STARTTLS, "offered, the client may go on in clear" },
	{ "starttls-required", CONFIG_TLS_REQUIRED, "no mail before STARTTLS" },
	{ "implicit", CONFIG_TLS_IMPLICIT, "TLS from the first byte on (RFC 8314)" },
	{ NULL, 0, NULL },
};

static const struct pn_choice listener_auth[] = {
	{ "off", CONFIG_AUTH_OFF, NULL },
	{ "offered", CONFIG_AUTH_OFFERED, "clients may log in" },
	{ "required", CONFIG_AUTH_REQUIRED, "no mail without logging in" },
	{ NULL, 0, NULL },
};

static const struct pn_choice listener_asking[] = {
	{ "off", CONFIG_ASKING_OFF, "clients are not asked for a certificate" },
	{ "ask", CONFIG_ASKING_OFFERED, "asked for; a client without a good one goes on as any" },
	{ "require", CONFIG_ASKING_REQUIRED, "no TLS without one that client_ca vouches for" },
	{ NULL, 0, NULL },
};

static const struct pn_choice bare_newlines[] = {
	{ "reject", CONFIG_BARE_REJECT, "refuse the message with 550 5.6.0" },
	{ "normalize", CONFIG_BARE_NORMALIZE, "make them CRLF, for clients that know no better" },
	{ NULL, 0, NULL },
};

#define CERT struct config_certificate
static const struct pn_option certificate_options[] = {
	PN_OPT_STRING("certificate", CERT, certificate, NULL, PN_REQUIRED | PN_PATH,
	    "PEM file with the certificate and the chain behind it."),
	PN_OPT_SECRET("key", CERT, key, PN_REQUIRED, "The certificate's private key, PEM."),
	PN_OPT_END
};

#define TLS __typeof__(((struct config_relay *)0)->tls)
static const struct pn_option tls_options[] = {
	PN_OPT_STRING("certificate", TLS, certificate, NULL, PN_PATH,
	    "PEM file with the certificate and the chain behind it, shown to clients."),
	PN_OPT_SECRET("key", TLS, key, 0, "The certificate's private key, PEM."),
	PN_OPT_LIST("more", TLS, more, CERT, certificate_options, 0,
	    "Further certificates; the one whose names fit what the client asks for (SNI) is "
	    "shown."),
	PN_OPT_CHOICE("minimum", TLS, minimum, "TLSv1.2", tls_versions, 0,
	    "Oldest version of TLS that a client may use."),
	PN_OPT_END
};

#define LISTENER struct config_listener
static const struct pn_option listener_options[] = {
	PN_OPT_STRING("name", LISTENER, name, NULL, PN_REQUIRED,
	    "What logs, `when` and status call it; one word."),
	PN_OPT_STRING("address", LISTENER, address, NULL, PN_REQUIRED,
	    "Where to listen: \"*:587\" (all addresses), \"192.0.2.1:25\", \"[2001:db8::1]:25\" or "
	    "\"unix:/run/postern/smtp\"."),
	PN_OPT_STRING("mode", LISTENER, mode, NULL, 0,
	    "Mode of a unix socket, as in 0660, set when it is opened; left out, 0666."),
	PN_OPT_STRING("owner", LISTENER, owner, NULL, 0,
	    "User whose a unix socket is; left out, who starts posternd."),
	PN_OPT_STRING("group", LISTENER, group, NULL, 0,
	    "Group whose a unix socket is; left out, who starts posternd."),
	PN_OPT_CHOICE("tls", LISTENER, tls, "starttls", listener_tls, 0,
	    "How a session comes to be encrypted."),
	PN_OPT_CHOICE("auth", LISTENER, auth, "off", listener_auth, 0,
	    "Whether clients log in; never possible before TLS."),
	PN_OPT_BOOL("auth_without_tls", LISTENER, auth_without_tls, "no", 0,
	    "Let clients log in in clear; only on a loopback address, a unix socket, or through "
	    "the "
	    "proxies in `proxy`, which see to TLS themselves."),
	PN_OPT_BOOL("fixups", LISTENER, fixups, "yes", 0,
	    "Do what a submission server does: add a missing Date, Message-ID and From, remove "
	    "Bcc and Return-Path. Off, messages get their trace header and nothing else."),
	PN_OPT_CHOICE("bare_newlines", LISTENER, bare_newlines, "reject", bare_newlines, 0,
	    "What to do with lines that do not end in CRLF; they are never forwarded."),
	PN_OPT_BOOL("hide_client", LISTENER, hide_client, "no", 0,
	    "Leave the client's address and name out of the trace header."),
	PN_OPT_STRING(
	    "greeting", LISTENER, greeting, NULL, 0, "Text behind the host name in the greeting."),
	PN_OPT_STRINGS("networks", LISTENER, networks, NULL, 0,
	    "Who may connect, as in 192.0.2.0/24; left out, everybody."),
	PN_OPT_STRINGS("accounts", LISTENER, accounts, NULL, 0,
	    "Accounts for whose networks this listener is: who is in none of these, nor in "
	    "`networks`, may not connect. Left out, the networks of all accounts are trusted "
	    "here."),
	PN_OPT_STRINGS("proxy", LISTENER, proxy, NULL, 0,
	    "Proxies, as in 192.0.2.5 or 192.0.2.0/24, that begin each connection with a PROXY "
	    "header (version 1 or 2) and are believed who the client is; others are clients "
	    "themselves."),
	PN_OPT_CHOICE("client_certificate", LISTENER, client_certificate, "off", listener_asking, 0,
	    "Whether clients are asked for a certificate, for SASL EXTERNAL and "
	    "directory.accounts.NAME.certificates; their sessions are never resumed."),
	PN_OPT_STRING("client_ca", LISTENER, client_ca, NULL, PN_PATH,
	    "PEM file of the authorities that may vouch for clients, or of clients' certificates "
	    "themselves; never one of public authorities, unless whom these vouch for is welcome. "
	    "Whoever's own certificate stands here can vouch for others, too, so then only "
	    "fingerprints may be believed: auth.external_by."),
	PN_OPT_STRING("client_crl", LISTENER, client_crl, NULL, PN_PATH,
	    "PEM file with each of these authorities' list of revoked certificates; then a "
	    "certificate without a list that is still valid is no good. When this or "
	    "client_ca changes, open sessions with a certificate end before their next message."),
	PN_OPT_END
};

#define LIMITS struct config_limits
static const struct pn_option limit_options[] = {
	PN_OPT_SIZE("message_size", LIMITS, message_size, "50m", 1024, INT64_C(2) << 30, 0,
	    "Largest message that is accepted, told to clients by SIZE (RFC 1870)."),
	PN_OPT_INT("recipients", LIMITS, recipients, "500", 1, 100000, 0,
	    "Recipients of one message; RFC 5321 section 4.5.3.1.8 wants at least 100."),
	PN_OPT_SIZE("memory", LIMITS, memory, "1g", 1024 * 1024, INT64_C(1) << 40, 0,
	    "Memory that all messages in hand may take together; beyond it clients are asked to "
	    "come back later (452)."),
	PN_OPT_INT("connections", LIMITS, connections, "10000", 1, 1000000, 0,
	    "Sessions at one time, over all listeners."),
	PN_OPT_INT("connections_per_address", LIMITS, connections_per_address, "50", 1, 1000000, 0,
	    "Sessions at one time from one address, or one IPv6 network of `ip6_prefix` bits, "
	    "outside `shared_networks`."),
	PN_OPT_INT("connections_per_minute", LIMITS, connections_per_minute, "600", 0, 1000000, 0,
	    "New connections in a minute from one address, or one such IPv6 network, outside "
	    "`shared_networks`; who was quiet may come with as many at once. Clients that send "
	    "several messages over one connection need few. 0: any number."),
	PN_OPT_INT("connections_per_second", LIMITS, connections_per_second, "0", 0, 1000000, 0,
	    "New connections in a second from all clients together, for the time of an attack "
	    "from many addresses: it refuses good clients, too. 0: any number."),
	PN_OPT_INT("ip6_prefix", LIMITS, ip6_prefix, "64", 32, 128, 0,
	    "Bits of an IPv6 address that a client is counted by: 64 is the smallest network that "
	    "is given to a customer, many get 56 or 48."),
	PN_OPT_SIZE("line_length", LIMITS, line_length, "1m", 1000, INT64_C(1) << 30, 0,
	    "Longest line of a message; RFC 5322 says 998 bytes, real mail has more."),
	PN_OPT_SIZE("header_size", LIMITS, header_size, "1m", 1024, INT64_C(1) << 30, 0,
	    "All header fields of a message together."),
	PN_OPT_INT("header_count", LIMITS, header_count, "2000", 10, 1000000, 0,
	    "Header fields of one message."),
	PN_OPT_INT("command_errors", LIMITS, command_errors, "20", 1, 100000, 0,
	    "Wrong commands since the last accepted message before a session is closed (421). What "
	    "policy refuses, and what was pipelined behind that, is none. A tenth of "
	    "connections_per_minute is used up by each such session."),
	PN_OPT_INT("commands", LIMITS, commands, "1000", 10, 1000000, 0,
	    "Commands since the last accepted message, beyond `recipients` of them, before a "
	    "session is closed (421). Large BDAT chunks do not count."),
	PN_OPT_DURATION("error_delay", LIMITS, error_delay, "1s", 0, 60000, 0,
	    "How long the answer to a wrong command is kept back once half of "
	    "`command_errors` are used up; 0: not at all."),
	PN_OPT_INT("received_fields", LIMITS, received_fields, "100", 1, 10000, 0,
	    "A message with more Received fields than this is in a loop and refused (RFC 5321 "
	    "section 6.3)."),
	PN_OPT_INT("separate_renderings", LIMITS, separate_renderings, "100", 1, 10000, 0,
	    "Bodies that are encrypted apart for the recipients of one message; beyond it the "
	    "client is asked to send to fewer at a time (452)."),
	PN_OPT_DURATION("idle_timeout", LIMITS, idle_timeout, "5m", 100, 86400000, 0,
	    "How long a session may wait for the next command; RFC 5321 section 4.5.3.2.7 wants "
	    "at least 5m."),
	PN_OPT_DURATION("data_timeout", LIMITS, data_timeout, "5m", 100, 86400000, 0,
	    "How long a session may wait for more of a message."),
	PN_OPT_SIZE("data_rate", LIMITS, data_rate, "500", 0, 1048576, 0,
	    "Bytes in a second that a message must come with at least, besides `data_timeout` for "
	    "all of it; 0: a byte in each `data_timeout` will do."),
	PN_OPT_DURATION("session_timeout", LIMITS, session_timeout, "30m", 100, 86400000, 0,
	    "How long a session may keep the relay waiting for commands, all waits together, until "
	    "a message of it is accepted; then anew."),
	PN_OPT_DURATION("busy_timeout", LIMITS, busy_timeout, "10s", 100, 86400000, 0,
	    "Takes the place of `idle_timeout` and `tls_timeout`, if it is shorter, while three "
	    "quarters of `connections` are taken: for clients outside the listener's networks that "
	    "have neither logged in nor begun a message."),
	PN_OPT_DURATION("tls_timeout", LIMITS, tls_timeout, "30s", 100, 86400000, 0,
	    "How long a TLS handshake may take."),
	PN_OPT_END
};

#define SPOOL struct config_spool
static const struct pn_option spool_options[] = {
	PN_OPT_SIZE("segment_size", SPOOL, segment_size, "64m", 1024 * 1024, INT64_C(4) << 30, 0,
	    "Size of the files that accepted mail is written to; they are reused."),
	PN_OPT_SIZE("reserve", SPOOL, reserve, "256m", 0, INT64_C(1) << 40, 0,
	    "Disk space that stays free: below it new mail is asked to come back later (452)."),
	PN_OPT_SECRET("encrypt_with", SPOOL, encrypt_with, 0,
	    "Keys that mail is encrypted with on disk (AES-256-GCM), a line each: a name and 64 "
	    "hexadecimal digits. The first one encrypts, all of them decrypt; left out, mail waits "
	    "in clear."),
	PN_OPT_INT("gather", SPOOL, gather, "3000", 0, 100000, 0,
	    "Most microseconds that a message waits for others to be written with, under load "
	    "only."),
	PN_OPT_END
};

#define QUEUE struct config_queue
/*
 * RFC 5321 section 4.5.4.1: two attempts in the first hour, then one every two or three hours, for
 * four or five days. 15, 45, 105 minutes ... after the first, doubling up to `retry_most`.
 */
static const struct pn_option queue_options[] = {
	PN_OPT_DURATION("retry_first", QUEUE, retry_first, "15m", 10, 86400000, 0,
	    "Wait before the second attempt at a delivery; later waits double."),
	PN_OPT_DURATION("retry_most", QUEUE, retry_most, "4h", 10, INT64_C(604800000), 0,
	    "Longest wait between two attempts."),
	PN_OPT_DURATION("notice_after", QUEUE, notice_after, "4h", 10, INT64_C(2592000000), 0,
	    "Age at which the sender is told that a message is late; once."),
	PN_OPT_DURATION("give_up", QUEUE, give_up, "5d", 10, INT64_C(2592000000), 0,
	    "Age at which an undelivered message goes back to its sender."),
	PN_OPT_INT("connections", QUEUE, connections, "1000", 1, 1000000, 0,
	    "Sessions to all next hops together at one time; where that is not enough for all, "
	    "they "
	    "take turns."),
	PN_OPT_INT("connections_per_destination", QUEUE, connections_per_destination, "20", 1,
	    10000, 0,
	    "Sessions to one next hop at one time; two at first, one more for each message that it "
	    "takes."),
	PN_OPT_INT("messages_per_connection", QUEUE, messages_per_connection, "1000", 1, 1000000, 0,
	    "Messages sent over one session before a new one is opened."),
	PN_OPT_DURATION("idle_connection", QUEUE, idle_connection, "10s", 0, 3600000, 0,
	    "How long a session to a next hop is kept for the next message."),
	PN_OPT_DURATION("connection_age", QUEUE, connection_age, "1h", 10, 86400000, 0,
	    "Age at which a session to a next hop gets no further message."),
	PN_OPT_END
};

#define DNS struct config_dns
static const struct pn_option dns_options[] = {
	PN_OPT_STRINGS("servers", DNS, servers, NULL, 0,
	    "Addresses of name servers to ask, as in 192.0.2.53 or [2001:db8::53]:5353; left out, "
	    "those of /etc/resolv.conf. They need not be trusted: signatures are checked here."),
	PN_OPT_BOOL("recursive", DNS, recursive, "no", 0,
	    "Ask the domains' own servers, from the root down; then no other server is needed."),
	PN_OPT_BOOL("validate", DNS, validate, "yes", 0,
	    "Check signatures (DNSSEC): mail waits where they do not fit. Off for networks whose "
	    "own names contradict the signed ones."),
	PN_OPT_STRING("trust_anchor", DNS, trust_anchor, NULL, PN_PATH,
	    "File of DS or DNSKEY records that DNSSEC begins with; left out, the root's in "
	    "/usr/share/dns/root.key (package dns-root-data). Without either nothing is checked."),
	PN_OPT_DURATION("timeout", DNS, timeout, "20s", 100, 120000, 0,
	    "How long one question may take before the mail is tried again later."),
	PN_OPT_DURATION("validate_again", DNS, validate_again, "1m", 1000, 3600000, 0,
	    "Where signatures cannot be checked from here, DANE is off; so often it is tried "
	    "whether "
	    "they can be by now."),
	PN_OPT_END
};

static const struct pn_choice log_formats[] = {
	{ "auto", LOG_BY_PLACE, "journal where standard error leads there, else logfmt" },
	{ "logfmt", LOG_LOGFMT, "name=value, one event a line" },
	{ "json", LOG_JSON, "one JSON object a line" },
	{ "journal", LOG_JOURNAL, "fields of systemd's journal: POSTERN_EVENT, POSTERN_ID ..." },
	{ NULL, 0, NULL },
};

#define LOG struct config_log
static const struct pn_option log_options[] = { PN_OPT_CHOICE("format", LOG, format, "auto",
						    log_formats, 0, "How an event is written."),
	PN_OPT_CHOICE("level", LOG, level, "info", log_levels, 0,
	    "Least important events that are still written."),
	PN_OPT_INT("repeats", LOG, repeats, "20", 0, 1000000, 0,
	    "Refusals, failed logins and lost connections of one kind from one network (/24 of "
	    "IPv4, "
	    "/64 of IPv6) or one user that are written in a minute; more are counted, and one line "
	    "tells the count. 0: all are written."),
	PN_OPT_END };

#define METRICS struct config_metrics
static const struct pn_option metrics_options[] = {
	PN_OPT_STRING("listen", METRICS, listen, NULL, 0,
	    "Where GET /metrics is answered over HTTP, in Prometheus' text format: "
	    "\"127.0.0.1:9187\", \"[::1]:9187\" or \"unix:/run/postern/metrics\"; left out, "
	    "nowhere. "
	    "Everybody who can connect may read."),
	PN_OPT_END
};

static const struct pn_option network_options[] = {
	{ .help = "Networks, as in 192.0.2.0/24 or 2001:db8::/32, or single addresses.",
	    .type = PN_TYPE_STRINGS },
	PN_OPT_END
};

#define CRYPT __typeof__(((struct config_relay *)0)->crypt)
static const struct pn_option crypt_options[] = {
	PN_OPT_INT("processes", CRYPT, processes, "2", 1, 16, 0,
	    "Processes that run OpenPGP at one time, started when there is work for them; each "
	    "needs the memory of three times the message it encrypts."),
	PN_OPT_END
};

#define RELAY struct config_relay
const struct pn_option config_relay_options[] = {
	PN_OPT_STRING("hostname", RELAY, hostname, NULL, 0,
	    "Name the relay goes by in greetings and trace headers; left out, the machine's."),
	PN_OPT_STRING(
	    "user", RELAY, user, NULL, 0, "User to run as when started by root; left out, nobody."),
	PN_OPT_STRING("state_directory", RELAY, state_directory, "/var/lib/postern", PN_PATH,
	    "Folder of the spool and the database; on a local disk."),
	PN_OPT_STRING("run_directory", RELAY, run_directory, "/run/postern", PN_PATH,
	    "Folder of the control socket."),
	PN_OPT_GROUP("log", RELAY, log, LOG, log_options, 0,
	    "What is written to standard error, or to the journal, and how."),
	PN_OPT_GROUP("metrics", RELAY, metrics, METRICS, metrics_options, 0,
	    "The numbers of this relay, for a monitoring system."),
	PN_OPT_INT("loops", RELAY, loops, "0", 0, 64, 0,
	    "Threads that serve connections; 0: by the number of processors."),
	PN_OPT_SIZE("trace_memory", RELAY, trace_memory, "4m", 65536, 1073741824, 0,
	    "Memory for the last log lines that speak of a message: posternctl trace."),
	PN_OPT_STRING("method_header", RELAY, method_header, "X-Postern-Method", 0,
	    "Header field that says how a copy was protected, where protection or TLS was asked "
	    "for. What clients write there is removed. Empty: no such field."),
	PN_OPT_INT("policy_threads", RELAY, policy_threads, "0", 0, 1024, 0,
	    "Threads that run modules which may wait; 0: by the number of processors."),
	PN_OPT_GROUP("tls", RELAY, tls, TLS, tls_options, 0, "Certificates shown to clients."),
	PN_OPT_LIST("listeners", RELAY, listeners, LISTENER, listener_options, PN_REQUIRED,
	    "Where clients connect."),
	PN_OPT_GROUP("limits", RELAY, limits, LIMITS, limit_options, 0,
	    "What a client may ask for at most."),
	PN_OPT_GROUP(
	    "spool", RELAY, spool, SPOOL, spool_options, 0, "Where accepted mail waits, on disk."),
	PN_OPT_GROUP("queue", RELAY, queue, QUEUE, queue_options, 0,
	    "When and how deliveries are attempted."),
	PN_OPT_GROUP("dns", RELAY, dns, DNS, dns_options, 0,
	    "How mail exchangers are found. Hosts that stand in this configuration are looked up "
	    "as the system does it."),
	PN_OPT_GROUP("mta_sts", RELAY, mta_sts, struct config_mta_sts, config_mta_sts_options, 0,
	    "What domains demand of those who send to them (MTA-STS, RFC 8461), and how it is "
	    "found out. Routes to mail exchangers heed it, no others."),
	PN_OPT_GROUP("user_relays", RELAY, user_relays, struct config_user_relays,
	    config_user_relays_options, 0,
	    "What servers users may name for addresses of their own, where the module user-relays "
	    "lets them."),
	PN_OPT_GROUP("crypt", RELAY, crypt, CRYPT, crypt_options, 0,
	    "The processes that modules have OpenPGP done by."),
	PN_OPT_STRINGS("shared_networks", RELAY, shared_networks, NULL, 0,
	    "Names in `networks` where many users share an address: no limits per address "
	    "there."),
	PN_OPT_MAP("networks", RELAY, networks, struct pn_strings, network_options, 0,
	    "Networks by names of your own."),
	PN_OPT_END
};

const struct pn_choice config_route_kinds[] = {
	{ "mx", CONFIG_ROUTE_MX, "send to the mail exchangers of each recipient's domain" },
	{ "smarthost", CONFIG_ROUTE_SMARTHOST, "send everything to one host" },
	{ "lmtp", CONFIG_ROUTE_LMTP, "hand everything to a mail store by LMTP" },
	{ "maildir", CONFIG_ROUTE_MAILDIR, "write to a maildir on this machine" },
	{ "discard", CONFIG_ROUTE_DISCARD, "accept and drop, for tests" },
	{ NULL, 0, NULL },
};

static const struct pn_choice route_tls[] = {
	{ "none", TLS_LEVEL_NONE, "never" },
	{ "may", TLS_LEVEL_MAY,
	    "where the host offers it, with any certificate; of an mx route, as the recipient's "
	    "domain demands itself (DANE, MTA-STS)" },
	{ "encrypt", TLS_LEVEL_ENCRYPT, "always, with any certificate" },
	{ "verify", TLS_LEVEL_VERIFY, "always, with a valid certificate for the host's name" },
	{ NULL, 0, NULL },
};

static const struct pn_choice route_tls_modes[] = {
	{ "auto", CONFIG_TLS_BY_PORT, "implicit at port 465, else starttls" },
	{ "starttls", CONFIG_TLS_BY_STARTTLS, "after STARTTLS" },
	{ "implicit", CONFIG_TLS_AT_ONCE, "from the first byte on; never in clear" },
	{ NULL, 0, NULL },
};

#define ROUTE      struct config_route
#define ROUTE_AUTH __typeof__(((struct config_route *)0)->auth)
static const struct pn_option route_auth_options[] = { PN_OPT_STRING("user", ROUTE_AUTH, user, NULL,
							   PN_REQUIRED, "User name at the host."),
	PN_OPT_SECRET("password", ROUTE_AUTH, password, PN_REQUIRED, "Password at the host."),
	PN_OPT_END };

static const struct pn_option route_options[] = {
	PN_OPT_GROUP("when", ROUTE, when, struct config_when, config_when_options, 0,
	    "Which recipients this route is for; left out, all. The first that matches is "
	    "taken."),
	PN_OPT_CHOICE(
	    "to", ROUTE, to, NULL, config_route_kinds, PN_REQUIRED, "Where the mail goes."),
	PN_OPT_STRINGS("host", ROUTE, host, NULL, 0,
	    "The smarthost or mail store, \"name:port\" or \"name\": port 25, with lmtp 24; lmtp "
	    "also \"unix:/path\". Of a list, each is tried when those before it cannot be "
	    "reached."),
	PN_OPT_CHOICE("tls", ROUTE, tls, "may", route_tls, 0, "Encryption on the way to the host."),
	PN_OPT_CHOICE(
	    "tls_mode", ROUTE, tls_mode, "auto", route_tls_modes, 0, "How TLS begins there."),
	PN_OPT_STRING("ca_file", ROUTE, ca_file, NULL, PN_PATH,
	    "PEM file of the authorities that may vouch for the host; left out, the system's."),
	PN_OPT_GROUP("auth", ROUTE, auth, ROUTE_AUTH, route_auth_options, 0,
	    "How to log in at the smarthost; needs tls: encrypt or verify."),
	PN_OPT_STRING("path", ROUTE, path, NULL, PN_PATH,
	    "The maildir; {user} and {domain} stand for the parts of the recipient's address."),
	PN_OPT_INT("port", ROUTE, port, "25", 1, 65535, 0,
	    "Port of mail exchangers; any other than 25 is for laboratories."),
	/* What no host of the internet has. */
	PN_OPT_STRINGS("refused_networks", ROUTE, refused_networks,
	    "[0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4, \"::\", \"::1\", "
	    "\"fe80::/10\", \"ff00::/8\"]",
	    0,
	    "Addresses, as in 10.0.0.0/8, that no mail goes to, whatever the DNS says; [] is "
	    "none."),
	PN_OPT_INT("priority", ROUTE, priority, "0", -9, 9, 0,
	    "Mail of this route goes before what waits for the same host with a smaller number."),
	PN_OPT_END
};

const struct pn_option config_routes_options[] = {
	{ .help = "Ways that mail takes from here, in order.",
	    .nested = route_options,
	    .nested_size = sizeof(struct config_route),
	    .type = PN_TYPE_LIST,
	    .flags = PN_REQUIRED },
	PN_OPT_END
};

static const struct pn_choice databases[] = {
	{ "sqlite", 0, "a file in the state directory" },
	{ NULL, 0, NULL },
};

const struct pn_option config_database_options[] = { { .fallback = "sqlite",
							 .help = "What keeps users and counters.",
							 .choices = databases,
							 .type = PN_TYPE_CHOICE },
	PN_OPT_END };

static const struct pn_choice entry_faults[] = {
	{ "defer", CONFIG_FAULT_DEFER, "ask the client to come back later" },
	{ "skip", CONFIG_FAULT_SKIP, "go on as if the entry were not there" },
	{ "reject", CONFIG_FAULT_REJECT, "refuse the message" },
	{ NULL, 0, NULL },
};

#define ENTRY struct config_entry
const struct pn_option config_entry_options[] = {
	PN_OPT_STRING("id", ENTRY, id, NULL, 0,
	    "Name of this entry and of its section; left out, the module's. Needed where a module "
	    "stands twice."),
	PN_OPT_STRING("description", ENTRY, description, NULL, 0,
	    "What this entry is for, as `posternctl order` shows it."),
	PN_OPT_GROUP("when", ENTRY, when, struct config_when, config_when_options, 0,
	    "Which messages this entry is for; left out, all."),
	PN_OPT_CHOICE("on_fault", ENTRY, on_fault, "defer", entry_faults, 0,
	    "What happens to a message that the module cannot decide on."),
	PN_OPT_DURATION("timeout", ENTRY, timeout, "20s", 10, 60000, 0,
	    "How long one call of the module may take before that is a fault."),
	PN_OPT_INT("concurrency", ENTRY, concurrency, "0", 0, 1024, 0,
	    "Calls of the module that may wait at one time, over all connections; others wait for "
	    "one of them to end, within their `timeout`. 0: half of relay.policy_threads."),
	PN_OPT_END
};

const char *const config_core_sections[] = { "relay", "routes", "destinations", "database",
	"directory", "pipeline", NULL };

const struct pn_option *
config_core_options(const char *section)
{
	static const struct pn_option *const tables[] = { config_relay_options,
		config_routes_options, config_destinations_options, config_database_options,
		config_directory_options, config_entry_options };

	for (size_t i = 0; config_core_sections[i]; i++)
		if (strcmp(config_core_sections[i], section) == 0)
			return tables[i];
	return NULL;
}

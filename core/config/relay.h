/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - the settings of the core itself, by tables like any module's.
 */
#ifndef CORE_CONFIG_RELAY_H
#define CORE_CONFIG_RELAY_H

#include <core/config/directory.h>
#include <core/config/settings.h>
#include <core/config/when.h>
#include <core/net/dns.h>
#include <core/net/tls_clients.h>

enum config_tls { CONFIG_TLS_NONE, CONFIG_TLS_STARTTLS, CONFIG_TLS_REQUIRED, CONFIG_TLS_IMPLICIT };
enum config_auth { CONFIG_AUTH_OFF, CONFIG_AUTH_OFFERED, CONFIG_AUTH_REQUIRED };
enum config_asking { CONFIG_ASKING_OFF, CONFIG_ASKING_OFFERED, CONFIG_ASKING_REQUIRED };
enum config_bare { CONFIG_BARE_REJECT, CONFIG_BARE_NORMALIZE };

struct config_certificate {
	const char *certificate; /* path, PEM chain */
	const struct pn_secret *key;
	struct pn_slice certificate_pem; /* the file's bytes, read through the source */
};

struct config_listener {
	const char *name, *address, *greeting;
	int tls;               /* enum config_tls */
	int auth;              /* enum config_auth */
	bool auth_without_tls; /* only for unix, loopback and what a proxy brings */
	bool fixups;
	int bare_newlines; /* enum config_bare */
	bool hide_client;
	const char *mode, *owner, *group;   /* of a unix socket; NULL: 0666, who opens it */
	struct pn_strings networks;         /* who may connect; empty: everyone */
	struct pn_strings accounts;         /* their networks may, too; empty: see server_place() */
	struct pn_strings proxy;            /* peers that say who their client is; empty: none */
	int client_certificate;             /* enum config_asking */
	const char *client_ca, *client_crl; /* paths */
	struct pn_slice client_ca_pem, client_crl_pem; /* as in config_certificate */
};

struct config_limits {
	int64_t message_size, recipients, memory, connections, connections_per_address;
	int64_t connections_per_minute; /* new ones, of an address; 0: any number */
	int64_t connections_per_second; /* new ones, of all; 0: any number */
	int64_t ip6_prefix;             /* bits that an IPv6 client is known by */
	int64_t line_length;            /* of a body line, bytes */
	int64_t header_size;            /* all header fields together */
	int64_t header_count;
	int64_t commands;            /* since the last message, then 421 */
	int64_t error_delay;         /* ms */
	int64_t data_rate;           /* bytes a second, at least; 0: any */
	int64_t session_timeout;     /* waits for commands since the last message, ms */
	int64_t busy_timeout;        /* instead of idle_timeout when places are few */
	int64_t command_errors;      /* per session, then 421 */
	int64_t separate_renderings; /* of one message */
	int64_t received_fields;     /* loop: more than these are refused */
	int64_t idle_timeout, data_timeout, tls_timeout; /* ms */
};

struct config_spool {
	int64_t segment_size, reserve, gather; /* bytes, bytes, microseconds */
	const struct pn_secret *encrypt_with;  /* text of a keyring; NULL: in clear */
};

struct config_queue {
	int64_t retry_first, retry_most, notice_after, give_up; /* ms */
	int64_t connections;                                    /* all together */
	int64_t connections_per_destination, messages_per_connection;
	int64_t idle_connection, connection_age; /* ms */
};

/* Servers that users name for addresses of their own. */
struct config_user_relays {
	const struct pn_secret *seal_with; /* text of a keyring; NULL: none can be stored */
	struct pn_strings ports, refused_networks;
	const char *ca_file; /* NULL: the system's */
};
/* False: no port. */
bool config_user_relays_port(const char *text, uint16_t *ret);
/* Of a checked configuration, in `arena`. */
const struct network *config_user_relays_refused(
    const struct config_user_relays *config, struct arena *arena, size_t *ret_count);

/* What "private" is in lists of networks: all that is not the internet's. */
bool config_is_private(const struct address *address);

/* How the relay finds mail exchangers; see core/net/dns.h. */
struct config_dns {
	struct pn_strings servers;
	bool recursive, validate;
	const char *trust_anchor;        /* path; NULL: the root's, where it is installed */
	int64_t timeout, validate_again; /* ms */
};

/* How MTA-STS policies are fetched; see core/sts/sts.h. */
struct config_mta_sts {
	bool enabled;
	const char *ca_file;    /* NULL: the system's */
	const char *connect_to; /* NULL: as the DNS says */
	struct pn_strings refused_networks;
	int64_t timeout, wait; /* ms */
};
/* Of a checked configuration, in `arena`. */
const struct network *config_mta_sts_refused(
    const struct config_mta_sts *config, struct arena *arena, size_t *ret_count);

struct config_log {
	int format; /* enum log_format's values */
	int level;  /* enum pn_level */
	int64_t repeats;
};

struct config_metrics {
	const char *listen; /* NULL: nowhere */
};

struct config_relay {
	const char *hostname; /* never NULL once filled: the machine's where YAML has none */
	const char *user;     /* to run as when started by root; NULL: nobody */
	const char *state_directory, *run_directory;
	struct config_log log;
	struct config_metrics metrics;
	int64_t trace_memory;          /* bytes */
	const char *method_header;     /* "": none */
	int64_t loops, policy_threads; /* 0: by the number of processors */
	struct {
		const char *certificate;
		const struct pn_secret *key;
		struct pn_slice certificate_pem; /* as in config_certificate */
		struct pn_list more; /* struct config_certificate: others, chosen by SNI */
		int minimum;         /* enum tls_version's values */
	} tls;
	struct pn_list listeners; /* struct config_listener */
	struct config_limits limits;
	struct config_spool spool;
	struct config_queue queue;
	struct config_dns dns;
	struct config_mta_sts mta_sts;
	struct config_user_relays user_relays;
	struct {
		int64_t processes;
	} crypt;
	struct pn_strings shared_networks; /* names in `networks` */
	struct pn_map networks;            /* name -> struct pn_strings of CIDR */
};

enum config_route_kind {
	CONFIG_ROUTE_SMARTHOST,
	CONFIG_ROUTE_MAILDIR,
	CONFIG_ROUTE_DISCARD,
	CONFIG_ROUTE_LMTP,
	CONFIG_ROUTE_MX
};
/* How TLS begins on a connection to a next hop. */
enum config_tls_mode { CONFIG_TLS_BY_PORT, CONFIG_TLS_BY_STARTTLS, CONFIG_TLS_AT_ONCE };
#define CONFIG_ROUTE_HOSTS_MOST 16
struct config_route {
	struct config_when when;
	int to; /* enum config_route_kind */
	/* SMARTHOST, LMTP: "name:port", "name", "unix:/path"; tried in this order */
	struct pn_strings host;
	int tls;      /* enum tls_level's values: none, may, encrypt, verify */
	int tls_mode; /* enum config_tls_mode */
	const char *ca_file;
	struct {
		const char *user;
		const struct pn_secret *password;
	} auth;
	const char *path; /* MAILDIR; {user} and {domain} stand for the recipient's parts */
	int64_t priority; /* SMARTHOST, LMTP, MX */
	int64_t port;     /* MX */
	struct pn_strings refused_networks; /* MX */
};

/* What a next hop may be asked for; 0: as relay.queue says, or no limit. */
enum config_slow { CONFIG_SLOW_UNREACHABLE, CONFIG_SLOW_THROTTLED, CONFIG_SLOW_DEFERRALS };
/* How long a next hop may take, ms; 0: as RFC 5321 section 4.5.3.2 wants it. */
struct config_timeouts {
	int64_t connect, greeting, hello, handshake, mail, rcpt, data, block, final, quit;
};

struct config_destination {
	struct pn_strings host; /* names, "*.example.com", addresses, networks; empty: all */
	int64_t connections, messages_per_connection;
	int64_t idle_connection, connection_age; /* ms */
	struct {
		int64_t messages, connections; /* in `per`; 0: any number */
		int64_t per;                   /* ms */
	} rate;
	struct {
		int64_t first, most; /* ms */
		int on;              /* enum config_slow */
	} back_off;
	struct config_timeouts timeouts;
	struct pn_strings source; /* at most one address of each family */
	int prefer;               /* enum address_prefer */
};

/* One line of `pipeline:`. */
enum config_fault { CONFIG_FAULT_DEFER, CONFIG_FAULT_SKIP, CONFIG_FAULT_REJECT };
struct config_entry {
	const char *module, *id, *description;
	struct config_when when;
	int on_fault;        /* enum config_fault */
	int64_t timeout;     /* ms */
	int64_t concurrency; /* 0: by policy_threads */
	bool enabled;        /* from its section */
	struct config_mark mark;
};

struct config_core {
	struct config_relay relay;
	struct pn_list routes;       /* struct config_route */
	struct pn_list destinations; /* struct config_destination */
	int database;                /* 0: sqlite */
	struct config_directory directory;
	struct config_entry *pipeline;
	size_t pipeline_count;
	/* Marks for later complaints (a key that does not fit, say), `where` as the section's name.
	 */
	struct settings relay_settings, routes_settings, destinations_settings, directory_settings;
};

/*
 * Reads the sections relay, routes, database, directory and pipeline out of the tree and checks
 * what goes beyond tables: listener names unique, AUTH without TLS (A4), networks known, hosts,
 * ports ... Fills certificate_pem. Everything is in `arena` and outlives the tree. 0, or -EINVAL
 * where an error was added. Does not complain about other top-level sections: the pipeline's owner
 * knows those.
 */
int config_core_fill(const struct config_tree *tree, struct arena *arena,
    struct settings_secrets **secrets, struct diags *diags, struct config_core *ret);
/* Keys of the top level that belong to the core, NULL-ended. */
extern const char *const config_core_sections[];
/* For `posternctl help relay` and the like; NULL for an unknown name. */
const struct pn_option *config_core_options(const char *section);

/* What the listener wants of its clients; false: no certificate. */
bool config_listener_clients(const struct config_listener *listener, struct tls_clients *ret);

/* Borrowed from the configuration, with the root's trust anchor where it says none. */
struct dns_settings config_dns_settings(const struct config_dns *dns);

/* The first of the section `destinations` for this host of a route, as it stands there, or NULL. */
const struct config_destination *config_destination_find(
    const struct pn_list *destinations, const char *host);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap_connection.c - connects to a directory server within the time that there is.
 *
 * Called by ldap.c. libldap 2.5 with GnuTLS spins for ever in the handshake with a server that says
 * nothing, so the socket is connected here and a layer below TLS waits before each read and write.
 * Whatever matters for safety is set for each connection: neither ldap.conf nor the environment has
 * a say. Must never give out a connection that is not protected as the settings say.
 */
#include <core/base/clock.h>
#include <core/client/ldap_inside.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openldap.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLICE_MS  200 /* how often a wait looks whether anybody still wants the answer */
#define LAST_MS   200 /* for taking leave; a server that does not read hears none */
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* ---- patience -------------------------------------------------------------------------------- */

int64_t
ldap_patience_left(const struct ldap_patience *patience)
{
	int64_t left = patience->due_ms - clock_monotonic_ms();

	if (patience->stop && patience->stop(patience->arg))
		return -ECANCELED;
	return left > 0 ? left : -ETIMEDOUT;
}

struct ldap_patience
ldap_patience_share(const struct ldap_patience *patience, size_t count)
{
	struct ldap_patience share = *patience;
	int64_t now = clock_monotonic_ms();

	if (share.due_ms > now)
		share.due_ms = now + (share.due_ms - now) / (int64_t)count;
	return share;
}

int
ldap_patience_wait(const struct ldap_patience *patience, int fd, short events)
{
	struct pollfd ready = { .fd = fd, .events = events };
	int64_t left;

	while ((left = ldap_patience_left(patience)) > 0)
		if (poll(&ready, 1, left < SLICE_MS ? (int)left : SLICE_MS) > 0)
			return 0;
	return (int)left;
}

/* ---- below TLS ------------------------------------------------------------------------------- */

static int
layer_setup(Sockbuf_IO_Desc *layer, void *patience)
{
	layer->sbiod_pvt = patience;
	return 0;
}

static int
layer_nothing(Sockbuf_IO_Desc *layer)
{
	return 0;
}

static int
layer_ctrl(Sockbuf_IO_Desc *layer, int option, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(layer, option, arg);
}

static bool
layer_wait(Sockbuf_IO_Desc *layer, short events)
{
	ber_socket_t fd = -1;
	int r;

	ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &fd);
	r = ldap_patience_wait(layer->sbiod_pvt, fd, events);
	if (r < 0)
		errno = -r;
	return r == 0;
}

static ber_slen_t
layer_read(Sockbuf_IO_Desc *layer, void *bytes, ber_len_t len)
{
	return layer_wait(layer, POLLIN) ? LBER_SBIOD_READ_NEXT(layer, bytes, len) : -1;
}

static ber_slen_t
layer_write(Sockbuf_IO_Desc *layer, void *bytes, ber_len_t len)
{
	return layer_wait(layer, POLLOUT) ? LBER_SBIOD_WRITE_NEXT(layer, bytes, len) : -1;
}

static Sockbuf_IO waiting_layer = { layer_setup, layer_nothing, layer_ctrl, layer_read, layer_write,
	layer_nothing };

/* ---- the socket ------------------------------------------------------------------------------ */

static int
connect_to(const struct ldap_patience *patience, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len) < 0) {
		error = errno;
		if (error == EINPROGRESS)
			error = -ldap_patience_wait(patience, fd, POLLOUT);
		if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			error = errno;
	}
	if (error == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		error = errno;
	if (error == 0)
		return fd;
	close(fd);
	return -error;
}

static int
connect_unix(const struct ldap_patience *patience, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path) >= (int)sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	return connect_to(patience, (struct sockaddr *)&sa, sizeof(sa));
}

static int
connect_tcp(const struct ldap_patience *patience, const char *host, int port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	char service[12];
	int fd = -EHOSTUNREACH;

	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hints, &found) != 0)
		return fd;
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = connect_to(patience, at->ai_addr, at->ai_addrlen);
	freeaddrinfo(found);
	return fd;
}

static int
connect_uri(const struct ldap_patience *patience, const LDAPURLDesc *uri)
{
	const char *host = uri->lud_host && *uri->lud_host ? uri->lud_host : NULL;

	if (strcmp(uri->lud_scheme, "ldapi") == 0)
		return connect_unix(patience, host ? host : "/var/run/slapd/ldapi");
	return connect_tcp(patience, host ? host : "localhost", uri->lud_port);
}

/* ---- the handle ------------------------------------------------------------------------------ */

static int
set_options(const struct ldap_connection *connection, const struct pn_ldap_server *server)
{
	const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
	const int least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, never = LDAP_DEREF_NEVER;
	const struct {
		int option;
		const void *value;
	} options[] = {
		{ LDAP_OPT_PROTOCOL_VERSION, &version }, { LDAP_OPT_DEREF, &never },
		{ LDAP_OPT_REFERRALS, LDAP_OPT_OFF }, { LDAP_OPT_X_TLS_REQUIRE_CERT, &demand },
		{ LDAP_OPT_X_TLS_PROTOCOL_MIN, &least },
		{ LDAP_OPT_X_TLS_CACERTFILE, server->ca_file ? server->ca_file : SYSTEM_CA },
		{ LDAP_OPT_X_TLS_NEWCTX, &client }, /* the last: it takes what is set */
	};
	int code = LDAP_SUCCESS;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && code == LDAP_SUCCESS; i++)
		code = ldap_set_option(connection->handle, options[i].option, options[i].value);
	return code;
}

static int
add_layer(struct ldap_connection *connection)
{
	Sockbuf *sockbuf = NULL;

	if (ldap_get_option(connection->handle, LDAP_OPT_SOCKBUF, &sockbuf) != LDAP_SUCCESS ||
	    ber_sockbuf_add_io(
		sockbuf, &waiting_layer, LBER_SBIOD_LEVEL_PROVIDER + 1, &connection->patience) != 0)
		return LDAP_NO_MEMORY;
	return LDAP_SUCCESS;
}

/* RFC 4511 section 4.14 */
static int
ask_for_tls(struct ldap_connection *connection)
{
	LDAPMessage *message = NULL;
	int64_t left = ldap_patience_left(&connection->patience);
	struct timeval wait = { left / 1000, left % 1000 * 1000 };
	int id, refusal = LDAP_SUCCESS;
	int code = ldap_start_tls(connection->handle, NULL, NULL, &id);

	if (code != LDAP_SUCCESS || left <= 0)
		return code != LDAP_SUCCESS ? code : LDAP_TIMEOUT;
	if (ldap_result(connection->handle, id, LDAP_MSG_ALL, &wait, &message) <= 0)
		return LDAP_TIMEOUT;
	code = ldap_parse_result(connection->handle, message, &refusal, NULL, NULL, NULL, NULL, 1);
	return code != LDAP_SUCCESS ? code : refusal;
}

static int
protect(struct ldap_connection *connection, const struct pn_ldap_server *server,
    const LDAPURLDesc *uri, const char **ret_doing)
{
	int code = LDAP_SUCCESS;

	if (strcmp(uri->lud_scheme, "ldapi") == 0)
		return code;
	if (strcmp(uri->lud_scheme, "ldaps") != 0) {
		if (!server->starttls)
			return code;
		*ret_doing = "asking for TLS";
		code = ask_for_tls(connection);
	}
	if (code != LDAP_SUCCESS)
		return code;
	*ret_doing = "TLS";
	return ldap_install_tls(connection->handle);
}

static int
open_parsed(struct ldap_connection *connection, const struct pn_ldap_server *server,
    const char *text, const LDAPURLDesc *uri, const char **ret_doing)
{
	bool local = strcmp(uri->lud_scheme, "ldapi") == 0;
	int fd = connect_uri(&connection->patience, uri), code;

	if (fd == -ENOMEM)
		return LDAP_NO_MEMORY;
	if (fd < 0)
		return LDAP_SERVER_DOWN;
	*ret_doing = "setting up";
	code = ldap_init_fd(fd, local ? LDAP_PROTO_IPC : LDAP_PROTO_TCP, text, &connection->handle);
	if (code != LDAP_SUCCESS) {
		close(fd);
		return code;
	}
	code = add_layer(connection);
	if (code == LDAP_SUCCESS)
		code = set_options(connection, server);
	return code == LDAP_SUCCESS ? protect(connection, server, uri, ret_doing) : code;
}

int
ldap_connection_open(struct ldap_connection *connection, const struct pn_ldap_server *server,
    const char *uri, const char **ret_doing)
{
	LDAPURLDesc *parsed = NULL;
	int code;

	*ret_doing = "connecting";
	if (ldap_url_parse(uri, &parsed) != LDAP_URL_SUCCESS)
		return LDAP_PARAM_ERROR;
	code = open_parsed(connection, server, uri, parsed, ret_doing);
	ldap_free_urldesc(parsed);
	return code;
}

void
ldap_connection_close(struct ldap_connection *connection)
{
	/* Whoever looked something up over it last may be gone, and with him what `stop` asks. */
	connection->patience = (struct ldap_patience){ .due_ms = clock_monotonic_ms() + LAST_MS };
	if (connection->handle)
		ldap_unbind_ext(connection->handle, NULL, NULL);
	connection->handle = NULL;
}

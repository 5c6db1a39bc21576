/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - HTTP requests by libcurl.
 *
 * Called on policy threads and by commands. Must never say more of a url than its scheme and host:
 * paths and queries may hold secrets. Those that the request carries stand in guarded memory, and
 * whatever libcurl copied of them is overwritten when it frees it.
 */
#include <core/base/buf.h>
#include <core/client/forget.h>
#include <core/client/http.h>
#include <curl/curl.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define IDLE_MOST   8     /* handles that wait, each with its connections */
#define HEAD_MOST   65536 /* of a response */
#define FIELDS_MOST 64

struct http_client {
	pthread_mutex_t lock;
	GQueue idle; /* of CURL * */
};

struct transfer {
	const struct http_order *order;
	struct buf head, body;
	int64_t began_us;
	bool too_large;
	struct curl_slist fields[FIELDS_MOST + 2]; /* libcurl reads the list, it does not copy it */
	size_t field_count;
	char *secrets[FIELDS_MOST + 1]; /* lines in guarded memory */
	size_t secret_count;
	char problem[CURL_ERROR_SIZE];
};

/* ---- what may be asked ----------------------------------------------------------------------- */

static bool
has_part(CURLU *parsed, CURLUPart part)
{
	char *text = NULL;
	bool there = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return there;
}

static const char *
fault_of(CURLU *parsed, const char *url)
{
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return "begins neither with http:// nor with https://";
	if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
		return "is no url";
	if (has_part(parsed, CURLUPART_USER) || has_part(parsed, CURLUPART_PASSWORD))
		return "holds a user or a password; they belong into \"authorization\"";
	return NULL;
}

const char *
http_url_fault(const char *url)
{
	CURLU *parsed = curl_url();
	const char *fault = parsed ? fault_of(parsed, url) : "cannot be read: out of memory";

	curl_url_cleanup(parsed);
	return fault;
}

/* Behind a url that ends with its host, anything but a path or query would make it another host. */
static bool
leads_elsewhere(const char *url, const char *path)
{
	const char *host = strstr(url, "//");

	return host && path && *path && !strchr("/?#", *path) && !strpbrk(host + 2, "/?#");
}

/* Base64 of 32 bytes. */
bool
http_pin_valid(const char *pin)
{
	size_t len;
	guchar *bytes;

	if (strncmp(pin, "sha256//", 8) != 0 || strlen(pin) != 8 + 44)
		return false;
	bytes = g_base64_decode(pin + 8, &len);
	g_free(bytes);
	return len == 32;
}

/* RFC 9110 section 5.6.2 */
static bool
is_token(const char *text)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (const char *at = text; *at; at++)
		if (!g_ascii_isalnum(*at) && !strchr(others, *at))
			return false;
	return *text != '\0';
}

/* A line break in a value would begin another field. */
static bool
is_value(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\t')
			return false;
	return true;
}

/* ---- fields of the request ------------------------------------------------------------------- */

static void
link_field(struct transfer *transfer, char *line)
{
	struct curl_slist *row = &transfer->fields[transfer->field_count++];

	*row = (struct curl_slist){ .data = line };
	if (transfer->field_count > 1)
		transfer->fields[transfer->field_count - 2].next = row;
}

/* "name: value<secret>"; NULL: out of memory. */
static char *
secret_line(
    struct transfer *transfer, const char *name, struct pn_slice value, struct pn_slice secret)
{
	size_t len = strlen(name);
	char *line = sodium_malloc(len + 2 + value.len + secret.len + 1), *at = line;

	if (!line)
		return NULL;
	at = mempcpy(at, name, len);
	at = mempcpy(at, ": ", 2);
	if (value.len > 0)
		at = mempcpy(at, value.data, value.len);
	at = mempcpy(at, secret.data, secret.len);
	*at = '\0';
	transfer->secrets[transfer->secret_count++] = line;
	return line;
}

static int
add_field(struct transfer *transfer, const struct pn_http_field *field, struct arena *arena,
    struct pn_error *err)
{
	struct pn_slice secret = pn_secret_bytes(field->secret);
	struct pn_slice value = pn_slice_of(field->value);
	char *line;

	if (transfer->field_count >= FIELDS_MOST)
		return pn_error_set(err, -E2BIG, "more than %d header fields", FIELDS_MOST - 1);
	if (!is_token(field->name) || !is_value(value) || !is_value(secret))
		return pn_error_set(err, -EINVAL, "%.60s: is no header field", field->name);
	if (value.len == 0 && secret.len == 0) /* libcurl's way to say: with an empty value */
		line = arena_printf(arena, "%s;", field->name);
	else if (secret.len == 0)
		line = arena_printf(arena, "%s: %s", field->name, field->value);
	else
		line = secret_line(transfer, field->name, value, secret);
	if (!line)
		return pn_error_set(err, -ENOMEM, "out of memory for a secret");
	link_field(transfer, line);
	return 0;
}

static int
add_fields(struct transfer *transfer, struct arena *arena, struct pn_error *err)
{
	const struct http_order *order = transfer->order;
	const struct pn_http_field authorization = { "Authorization", NULL,
		order->endpoint->authorization };
	int r = 0;

	link_field(transfer, arena_text(arena, "Expect:")); /* no waiting for 100 Continue */
	for (const struct pn_http_field *field = order->fields; field && field->name && r == 0;
	     field++)
		r = add_field(transfer, field, arena, err);
	if (r == 0 && order->endpoint->authorization)
		r = add_field(transfer, &authorization, arena, err);
	return r;
}

/* ---- the transfer ---------------------------------------------------------------------------- */

static size_t
take(struct transfer *transfer, struct buf *into, const char *bytes, size_t len)
{
	if (buf_add(into, bytes, len) == 0)
		return len;
	transfer->too_large = true;
	return len == 0 ? 1 : 0;
}

static size_t
on_head(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;

	/* The head of an interim answer (100, 103) goes with the next status line. */
	if (size * count > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		buf_reset(&transfer->head);
	return take(transfer, &transfer->head, bytes, size * count);
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;

	return take(transfer, &transfer->body, bytes, size * count);
}

static int
on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	const struct http_order *order = ((struct transfer *)arg)->order;

	return order->stop && order->stop(order->arg);
}

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct http_order *order = arg;

	if (!order->may_connect(&to->addr, to->addrlen, order->arg))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* The list is to be freed behind the transfer. */
static struct curl_slist *
set_way(CURL *curl, const struct http_order *order, struct arena *arena)
{
	struct curl_slist *ways = NULL;

	if (order->connect_to)
		ways = curl_slist_append(NULL, arena_printf(arena, "::%s", order->connect_to));
	if (ways)
		curl_easy_setopt(curl, CURLOPT_CONNECT_TO, ways);
	if (order->may_connect) {
		curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
		curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, order);
	}
	return ways;
}

static void
set_limits(CURL *curl, const struct transfer *transfer)
{
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* also none of the environment's */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 2L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)transfer->order->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->order->timeout_ms);
}

static void
set_server(CURL *curl, const struct pn_http_endpoint *endpoint, struct arena *arena)
{
	const char *pins = NULL;

	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (endpoint->ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	for (size_t i = 0; i < endpoint->pins.count; i++)
		pins = arena_printf(
		    arena, "%s%s%s", pins ? pins : "", pins ? ";" : "", endpoint->pins.items[i]);
	if (pins)
		curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pins);
	if (endpoint->unix_socket)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, endpoint->unix_socket);
}

static void
set_request(CURL *curl, struct transfer *transfer)
{
	const struct http_order *order = transfer->order;
	const char *method = order->method ? order->method : order->body.data ? "POST" : "GET";

	if (order->body.data) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)order->body.len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, order->body.data);
	}
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "Postern");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, &transfer->fields[0]);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->problem);
}

static int
errno_of(CURLcode code, const struct transfer *transfer)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_WRITE_ERROR:
		return transfer->too_large ? -E2BIG : -EIO;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EINVAL;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_ABORTED_BY_CALLBACK:
		return -ECANCELED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
	case CURLE_SSL_CACERT_BADFILE:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* "https://host:443", for errors. */
static int
say(const char *url, int r, const char *what, struct pn_error *err)
{
	size_t scheme = strcspn(url, "/"), host = scheme;

	if (strncmp(url + scheme, "//", 2) == 0)
		host = scheme + 2 + strcspn(url + scheme + 2, "/?#");
	return pn_error_set(err, r, "%.*s: %s", (int)(host < 200 ? host : 200), url, what);
}

static int
perform(CURL *curl, struct transfer *transfer, struct arena *arena, struct pn_http_response *ret,
    struct pn_error *err)
{
	const struct http_order *order = transfer->order;
	const char *url = arena_printf(
	    arena, "%s%s", order->endpoint->url, order->path ? order->path : "");
	struct curl_slist *ways;
	long status = 0;
	CURLcode code;
	int r;

	set_limits(curl, transfer);
	set_server(curl, order->endpoint, arena);
	set_request(curl, transfer);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	ways = set_way(curl, order, arena);
	code = curl_easy_perform(curl);
	curl_easy_setopt(curl, CURLOPT_CONNECT_TO, NULL);
	curl_slist_free_all(ways);
	r = errno_of(code, transfer);
	if (r < 0)
		return say(url, r,
		    transfer->too_large    ? "the answer is larger than allowed"
		    : transfer->problem[0] ? transfer->problem
					   : curl_easy_strerror(code),
		    err);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	*ret = (struct pn_http_response){ (int)status,
		pn_slice(arena_slice(arena, buf_slice(&transfer->head)), transfer->head.len),
		pn_slice(arena_slice(arena, buf_slice(&transfer->body)), transfer->body.len) };
	return 0;
}

/* ---- handles --------------------------------------------------------------------------------- */

int
http_client_new(struct http_client **ret)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	if (forget_start() < 0) {
		free(client);
		return -ENOTSUP;
	}
	pthread_mutex_init(&client->lock, NULL);
	g_queue_init(&client->idle);
	*ret = client;
	return 0;
}

void
http_client_free(struct http_client **client)
{
	CURL *curl;

	if (!*client)
		return;
	while ((curl = g_queue_pop_head(&(*client)->idle)))
		curl_easy_cleanup(curl);
	pthread_mutex_destroy(&(*client)->lock);
	free(*client);
	*client = NULL;
}

static CURL *
take_handle(struct http_client *client)
{
	CURL *curl;

	pthread_mutex_lock(&client->lock);
	curl = g_queue_pop_head(&client->idle);
	pthread_mutex_unlock(&client->lock);
	return curl ? curl : curl_easy_init();
}

/* Without its settings, with its connections. */
static void
give_handle(struct http_client *client, CURL *curl)
{
	curl_easy_reset(curl);
	pthread_mutex_lock(&client->lock);
	if (g_queue_get_length(&client->idle) < IDLE_MOST) {
		g_queue_push_head(&client->idle, curl);
		curl = NULL;
	}
	pthread_mutex_unlock(&client->lock);
	curl_easy_cleanup(curl);
}

int
http_client_do(struct http_client *client, const struct http_order *order, struct arena *arena,
    struct pn_http_response *ret, struct pn_error *err)
{
	struct transfer transfer = { .order = order,
		.head = BUF_INIT(HEAD_MOST),
		.body = BUF_INIT((size_t)order->endpoint->max_response) };
	const char *fault = http_url_fault(order->endpoint->url);
	CURL *curl = NULL;
	int r;

	if (fault)
		return say(order->endpoint->url, -EINVAL, fault, err);
	if (order->method && !is_token(order->method))
		return pn_error_set(err, -EINVAL, "\"%.40s\" is no method", order->method);
	if (leads_elsewhere(order->endpoint->url, order->path))
		return say(order->endpoint->url, -EINVAL,
		    "the path behind it begins with neither \"/\" nor \"?\"", err);
	r = add_fields(&transfer, arena, err);
	if (r == 0) {
		curl = take_handle(client);
		r = curl ? perform(curl, &transfer, arena, ret, err)
			 : pn_error_set(err, -ENOMEM, "out of memory");
	}
	if (curl)
		give_handle(client, curl);
	while (transfer.secret_count > 0)
		sodium_free(transfer.secrets[--transfer.secret_count]);
	buf_free(&transfer.head);
	buf_wipe(&transfer.body);
	return r;
}

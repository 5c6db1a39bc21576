/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_maildir.c - deliveries into maildirs: tmp/, sync, new/, sync.
 *
 * Started by destination.c; the work is done on a job thread, which owns the delivery meanwhile.
 * Must never follow an address out of the configured path, nor call delivered what is not durable.
 * A demand on TLS is met: the mail crosses no network on its way here.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/mail/address.h>
#include <core/queue/inside.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_MOST 4000u

struct maildir_job {
	struct job job; /* first */
	struct routes *routes;
	const struct route *route;
	struct delivery *delivery;
	char host[64]; /* for file names */
};

/* ---- path -------------------------------------------------------------------------------------
 */

/* One path component out of a part of an address. */
static int
add_part(struct buf *path, struct pn_slice part, bool lower)
{
	size_t at = path->len;
	int r = part.len > 0 ? buf_add(path, part.data, part.len) : buf_add_text(path, "_");

	if (r < 0)
		return r;
	if (path->data[at] == '.')
		path->data[at] = '_';
	for (; at < path->len; at++) {
		unsigned char c = (unsigned char)path->data[at];

		if (c == '/' || c < ' ' || c == 0x7f)
			path->data[at] = '_';
		else if (lower)
			path->data[at] = (char)tolower(c);
	}
	return 0;
}

static int
fill_path(const char *template, const char *address, struct buf *ret)
{
	const char *at = strrchr(address, '@');
	struct pn_slice user = pn_slice(address, at ? (size_t)(at - address) : strlen(address));
	struct pn_slice domain = pn_slice_of(at ? at + 1 : "");
	int r = 0;

	while (*template && r == 0) {
		if (strncmp(template, "{user}", 6) == 0) {
			r = add_part(ret, user, false);
			template += 6;
		} else if (strncmp(template, "{domain}", 8) == 0) {
			r = add_part(ret, domain, true);
			template += 8;
		} else {
			r = buf_add(ret, template ++, 1);
		}
	}
	return r;
}

/* ---- folders ----------------------------------------------------------------------------------
 */

static int
sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

/* Makes one folder; its name is made durable too. */
static int
make_folder(const char *path)
{
	char parent[PATH_MOST];
	char *slash;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	g_strlcpy(parent, path, sizeof(parent));
	slash = strrchr(parent, '/');
	if (!slash)
		return sync_folder(".");
	slash[slash == parent ? 1 : 0] = '\0';
	return sync_folder(parent);
}

static int
make_folders(const char *path)
{
	char part[PATH_MOST];
	int r = 0;

	if (g_strlcpy(part, path, sizeof(part)) >= sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = make_folder(part);
		*slash = '/';
	}
	return r < 0 ? r : make_folder(part);
}

static int
make_maildir(const char *path)
{
	static const char *const folders[] = { "tmp", "new", "cur" };
	char folder[PATH_MOST + 8];
	int r = make_folders(path);

	for (size_t i = 0; i < 3 && r == 0; i++) {
		snprintf(folder, sizeof(folder), "%s/%s", path, folders[i]);
		r = make_folder(folder);
	}
	return r;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static int
write_all(int fd, struct iovec *parts, int count)
{
	while (count > 0) {
		ssize_t sent = writev(fd, parts, count);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		while (count > 0 && (size_t)sent >= parts->iov_len) {
			sent -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + sent;
			parts->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

/* What has overflowed, window by window. */
static int
write_body(int fd, const struct courier_letter *letter)
{
	char *window = malloc(MAIL_WINDOW);
	size_t len;
	int r = window ? 0 : -ENOMEM;

	for (size_t done = 0; r == 0 && done < letter->len; done += len) {
		struct iovec part = { window, len = MIN(letter->len - done, MAIL_WINDOW) };

		r = mail_bytes_read(letter->bytes, letter->offset + done, window, len);
		if (r == 0)
			r = write_all(fd, &part, 1);
	}
	free(window);
	return r;
}

/* Return-Path (RFC 5321 section 4.4) and who it is for, then the message as it is. */
static int
write_file(const char *path, const struct courier_letter *letter, const char *recipient)
{
	char head[2 * MAIL_ADDRESS_SIZE + 64];
	bool large = letter->bytes->rest != NULL;
	struct iovec parts[2];
	int fd, r;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	snprintf(head, sizeof(head), "Return-Path: <%s>\r\nDelivered-To: %s\r\n",
	    letter->sender ? letter->sender : letter->envelope->sender, recipient);
	parts[0] = (struct iovec){ head, strlen(head) };
	parts[1] = (struct iovec){ large ? NULL : letter->bytes->data + letter->offset,
		large ? 0 : letter->len };
	r = write_all(fd, parts, 2);
	if (r == 0 && large)
		r = write_body(fd, letter);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

/* The name is new each time, so that what a crash left in tmp/ is in nobody's way. */
static void
make_name(const struct maildir_job *job, char *ret, size_t size)
{
	static atomic_uint counter;
	int64_t now = clock_wall_us();

	snprintf(ret, size, "%lld.M%06lldP%ldQ%u.%s", (long long)(now / 1000000),
	    (long long)(now % 1000000), (long)getpid(), atomic_fetch_add(&counter, 1) & 0xffffffu,
	    job->host);
}

/* A crash may have left the maildir half made. */
static int
move(const char *maildir, const char *from, const char *to)
{
	int r;

	if (rename(from, to) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	r = make_maildir(maildir);
	if (r < 0)
		return r;
	return rename(from, to) < 0 ? -errno : 0;
}

static int
store(const struct maildir_job *job, const char *recipient)
{
	const struct courier_letter *letter = &job->delivery->letter;
	char name[160], from[PATH_MOST + 200], to[PATH_MOST + 200];
	struct buf path = BUF_INIT(PATH_MOST - 1);
	int r = fill_path(job->route->path, recipient, &path);

	if (r < 0 || !buf_text(&path)) {
		buf_free(&path);
		return -ENAMETOOLONG;
	}
	make_name(job, name, sizeof(name));
	snprintf(from, sizeof(from), "%s/tmp/%s", path.data, name);
	snprintf(to, sizeof(to), "%s/new/%s", path.data, name);
	r = write_file(from, letter, recipient);
	if (r == -ENOENT) {
		r = make_maildir(path.data);
		if (r == 0)
			r = write_file(from, letter, recipient);
	}
	if (r == 0)
		r = move(path.data, from, to);
	if (r < 0)
		unlink(from);
	to[path.len + strlen("/new")] = '\0';
	if (r == 0)
		r = sync_folder(to);
	buf_free(&path);
	return r;
}

/* ---- the job ----------------------------------------------------------------------------------
 */

/* The reply goes to the sender in the end; where it is and who may not write there is ours. */
static void
log_failure(const struct maildir_job *job, int r)
{
	char user[24];

	snprintf(user, sizeof(user), "%u", (unsigned)geteuid());
	log_event(PN_LOG_ERROR, "maildir", "id", item_log_id(job->delivery->owner->item), "path",
	    job->route->path, "as_uid", user, "error", strerror(-r), NULL);
}

static void
work(struct job *job_of)
{
	const struct maildir_job *job = (struct maildir_job *)(void *)job_of;
	struct courier_letter *letter = &job->delivery->letter;

	for (size_t i = 0; i < letter->count; i++) {
		struct courier_result *result = &letter->results[i];
		int r = store(job, letter->envelope->recipients[letter->indices[i]].address);

		if (r < 0)
			log_failure(job, r);
		/* A full or missing disk is mended by somebody; the mail waits for it. */
		result->outcome = r < 0 ? COURIER_DEFERRED : COURIER_DELIVERED;
		result->reply = r < 0 ? arena_printf(
					    letter->arena, "451 4.3.0 maildir: %s", strerror(-r))
				      : "250 2.0.0 stored";
	}
}

static void
done(struct job *job_of)
{
	struct maildir_job *job = (struct maildir_job *)(void *)job_of;
	struct delivery *delivery = job->delivery;

	routes_release(&job->routes);
	g_free(job);
	destination_job_ended(delivery->destination, delivery);
}

void
maildir_start(struct queue *queue, struct routes *routes, const struct route *route,
    struct delivery *delivery)
{
	struct maildir_job *job = g_new0(struct maildir_job, 1);

	job->job = (struct job){ .loop = queue->parts.loop, .work = work, .done = done };
	job->routes = routes_hold(routes);
	job->route = route;
	job->delivery = delivery;
	g_strlcpy(job->host, queue->settings.relay_name, sizeof(job->host));
	g_strdelimit(job->host, "/:", '_');
	jobs_submit(queue->parts.jobs, &job->job);
}

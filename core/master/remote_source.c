/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_source.c - configuration files by way of the master.
 *
 * An answer is two numbers, result and mode, and the bytes: a file, a list of names, or the text of
 * an error. Blocks; used by the checker, which has nothing else to do, and by the master meanwhile.
 */
#include <core/master/remote_source.h>
#include <errno.h>
#include <stdlib.h>

struct answer_head {
	int32_t result;
	uint32_t mode;
};

struct remote {
	struct source source;
	int fd;
};

static int
ask(struct source *source, enum channel_type question, const char *path, struct channel_frame *ret,
    struct answer_head *head, struct pn_error *err)
{
	struct remote *remote = (struct remote *)source;
	int r = channel_send(remote->fd, question, pn_slice_of(path), NULL, 0);

	if (r == 0)
		r = channel_receive(remote->fd, ret);
	if (r <= 0)
		return pn_error_set(
		    err, r < 0 ? r : -EPIPE, "%s: the master does not answer", path);
	if (ret->type != CHANNEL_ANSWER || ret->bytes.len < sizeof(*head)) {
		channel_frame_free(ret);
		return pn_error_set(err, -EPROTO, "%s: the master answers something else", path);
	}
	memcpy(head, ret->bytes.data, sizeof(*head));
	buf_consume(&ret->bytes, sizeof(*head));
	ret->bytes.data[ret->bytes.len] = '\0';
	if (head->result < 0) {
		r = pn_error_set(err, head->result, "%s", ret->bytes.data);
		channel_frame_free(ret);
		return r;
	}
	return 0;
}

static int
remote_list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	struct channel_frame frame;
	struct answer_head head;
	int r = ask(source, CHANNEL_LIST, folder, &frame, &head, err);

	if (r < 0)
		return r;
	r = buf_add(ret, frame.bytes.data, frame.bytes.len);
	channel_frame_free(&frame);
	return r < 0 ? pn_error_set(err, r, "%s: too many files", folder) : 0;
}

static int
remote_read(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	struct channel_frame frame;
	struct answer_head head;
	int r = ask(source, CHANNEL_READ, path, &frame, &head, err);

	if (r < 0)
		return r;
	ret->data = malloc(frame.bytes.len + 1);
	if (ret->data) {
		memcpy(ret->data, frame.bytes.data, frame.bytes.len + 1);
		ret->len = frame.bytes.len;
		ret->mode = (mode_t)head.mode;
	}
	channel_frame_free(&frame);
	return ret->data ? 0 : pn_error_set(err, -ENOMEM, "%s: out of memory", path);
}

static void
remote_free(struct source *source)
{
	free(source);
}

int
remote_source(int fd, struct source **ret)
{
	static const struct source_ops ops = { remote_list, remote_read, remote_free };
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return -ENOMEM;
	remote->source.ops = &ops;
	remote->fd = fd;
	*ret = &remote->source;
	return 0;
}

int
remote_source_answer(int fd, const struct channel_frame *question, struct source *from)
{
	struct buf answer = BUF_INIT(CHANNEL_MOST);
	struct source_file file = { 0 };
	struct answer_head head = { 0, 0 };
	struct pn_error err = { 0 };
	int r;

	r = buf_add(&answer, &head, sizeof(head));
	if (r == 0 && question->type == CHANNEL_LIST) {
		head.result = from->ops->list(from, question->bytes.data, &answer, &err);
	} else if (r == 0) {
		head.result = from->ops->read(from, question->bytes.data, &file, &err);
		head.mode = (uint32_t)file.mode;
		if (head.result == 0)
			r = buf_add(&answer, file.data, file.len);
	}
	if (head.result < 0) {
		answer.len = sizeof(head);
		r = buf_add_text(&answer, err.text);
	}
	if (r == 0) {
		memcpy(answer.data, &head, sizeof(head));
		r = channel_send(fd, CHANNEL_ANSWER, buf_slice(&answer), NULL, 0);
	}
	if (file.data)
		explicit_bzero(file.data, file.len);
	free(file.data);
	buf_wipe(&answer);
	return r;
}

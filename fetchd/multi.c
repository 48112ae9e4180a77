/* SPDX-License-Identifier: ISC */
#include "fetchd/multi.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* Idle connections kept; more than requests at a time are no use. */
#define CONNECTIONS_KEPT 6L

struct multi {
	struct event_base *base;
	CURLM *curl;
	struct event timer;
	void (*finished)(CURL *easy, int code);
	bool handing_out;
	bool dead; /* freed while handing out: it goes at the end of that */
};

static void
destroy(struct multi *m)
{
	(void)curl_multi_cleanup(m->curl);
	(void)evtimer_del(&m->timer);
	free(m);
}

static void
hand_out(struct multi *m)
{
	CURLMsg *msg;
	int left;

	m->handing_out = true;
	while (!m->dead && (msg = curl_multi_info_read(m->curl, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			m->finished(msg->easy_handle, (int)msg->data.result);
	m->handing_out = false;
	if (m->dead)
		destroy(m);
}

static void
handle_socket(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	int mask, running;

	mask = (what & EV_READ ? CURL_CSELECT_IN : 0) |
	    (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	(void)curl_multi_socket_action(m->curl, fd, mask, &running);
	hand_out(m);
}

static void
handle_timer(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	int running;

	(void)curl_multi_socket_action(
	    m->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	hand_out(m);
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
	struct multi *m = arg;
	struct event *ev = sockp;
	short events = EV_PERSIST;

	if (what == CURL_POLL_REMOVE) {
		if (ev != NULL)
			event_free(ev);
		(void)curl_multi_assign(m->curl, fd, NULL);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EV_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EV_WRITE;
	if (ev != NULL)
		event_free(ev);
	ev = event_new(m->base, fd, events, handle_socket, m);
	(void)curl_multi_assign(m->curl, fd, ev);
	if (ev == NULL || event_add(ev, NULL) != 0)
		return -1;
	return 0;
}

static int
want_timer(CURLM *curl, long timeout_ms, void *arg)
{
	struct multi *m = arg;
	struct timeval tv = { .tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000 };

	if (timeout_ms < 0)
		return evtimer_del(&m->timer) == 0 ? 0 : -1;
	return evtimer_add(&m->timer, &tv) == 0 ? 0 : -1;
}

int
multi_new(struct multi **out, struct event_base *base,
    void (*finished)(CURL *easy, int code))
{
	struct multi *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (m == NULL)
		return -ENOMEM;
	m->base = base;
	m->finished = finished;
	m->curl = curl_multi_init();
	if (m->curl == NULL ||
	    evtimer_assign(&m->timer, base, handle_timer, m) != 0 ||
	    curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, want_socket) !=
		CURLM_OK ||
	    curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m) != CURLM_OK ||
	    curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, want_timer) !=
		CURLM_OK ||
	    curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m) != CURLM_OK ||
	    curl_multi_setopt(
		m->curl, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK) {
		(void)curl_multi_cleanup(m->curl);
		free(m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

void
multi_free(struct multi *m)
{
	if (m == NULL)
		return;
	if (m->handing_out)
		m->dead = true;
	else
		destroy(m);
}

int
multi_add(struct multi *m, CURL *easy)
{
	return curl_multi_add_handle(m->curl, easy) == CURLM_OK ? 0 : -ENOMEM;
}

void
multi_remove(struct multi *m, CURL *easy)
{
	(void)curl_multi_remove_handle(m->curl, easy);
}

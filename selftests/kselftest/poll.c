// SPDX-License-Identifier: GPL-2.0
/* Shows the events of poll and epoll on set and device files, and what wakes them. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include "vdiset_test.h"
#include "harness.h"

#define ALL	(POLLIN | POLLOUT | POLLPRI | POLLRDHUP)
#define END	(POLLERR | POLLHUP)

FIXTURE(poll) {
	struct vd_set s;
	struct vd_dev c, d;
	struct vdiset_command cmd;
	int epoll;
};

FIXTURE_SETUP(poll)
{
	self->c.fd = self->d.fd = -1;
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 4096, VDISET_STATE_CONFIGURABLE));
}

FIXTURE_TEARDOWN(poll)
{
	close(self->epoll);
	vd_dev_release(&self->c);
	vd_dev_release(&self->d);
	vd_set_down(&self->s);
}

static int begin(FIXTURE_DATA(poll) *self)
{
	int ret = vd_end_config(self->s.server);

	if (!ret)
		ret = vd_set_open_device(&self->s, self->s.primary, 0, &self->c);
	if (!ret)
		ret = vd_set_open_device(&self->s, self->s.server, 0, &self->d);
	return ret;
}

/* The events that poll() returns within a time */
static int events(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = ALL };
	int ret = poll(&pfd, 1, timeout_ms);

	return ret < 0 ? -errno : pfd.revents;
}

TEST_F(poll, client_set_file)
{
	EXPECT_EQ(0, events(self->s.primary, 0));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	EXPECT_EQ(POLLIN, events(self->s.primary, 0));
}

TEST_F(poll, server_set_file)
{
	EXPECT_EQ(0, events(self->s.server, 0));
	ASSERT_EQ(0, begin(self));
	EXPECT_EQ(0, events(self->s.server, 0));
	ASSERT_LE(0, vd_produce(&self->c, &self->cmd));
	EXPECT_EQ(POLLIN, events(self->s.server, 0));
	ASSERT_EQ(0, vd_consume(&self->d, &self->cmd));
	EXPECT_EQ(0, events(self->s.server, 0));
	/* a command that it sent itself is not an event */
	ASSERT_LE(0, vd_produce(&self->d, &self->cmd));
	EXPECT_EQ(0, events(self->s.server, 0));
}

TEST_F(poll, device_files)
{
	ASSERT_EQ(0, begin(self));
	EXPECT_EQ(0, events(self->c.fd, 0));
	EXPECT_EQ(0, events(self->d.fd, 0));
	ASSERT_LE(0, vd_produce(&self->d, &self->cmd));
	EXPECT_EQ(POLLIN, events(self->c.fd, 0));
	EXPECT_EQ(0, events(self->d.fd, 0));
	ASSERT_EQ(0, vd_consume(&self->c, &self->cmd));
	EXPECT_EQ(0, events(self->c.fd, 0));
	ASSERT_LE(0, vd_produce(&self->c, &self->cmd));
	EXPECT_EQ(POLLIN, events(self->d.fd, 0));
	EXPECT_EQ(0, events(self->c.fd, 0));
}

TEST_F(poll, closed)
{
	ASSERT_EQ(0, begin(self));
	ASSERT_LE(0, vd_produce(&self->d, &self->cmd));
	ASSERT_EQ(0, vd_device_close(self->d.fd));
	EXPECT_EQ(POLLIN | POLLHUP, events(self->c.fd, 0));
	ASSERT_EQ(0, vd_consume(&self->c, &self->cmd));
	EXPECT_EQ(POLLHUP, events(self->c.fd, 0));
	EXPECT_EQ(POLLHUP, events(self->d.fd, 0));
	/* its only device is closed, so the set has terminated */
	EXPECT_EQ(POLLHUP, events(self->s.server, 0));
	EXPECT_EQ(POLLHUP, events(self->s.primary, 0) & END);
}

TEST_F(poll, aborted)
{
	int observer = vd_open();

	ASSERT_EQ(0, vd_attach(observer, VDISET_ROLE_OBSERVER, self->s.name));
	EXPECT_EQ(0, events(observer, 0));
	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(END, events(self->c.fd, 0) & END);
	EXPECT_EQ(END, events(self->d.fd, 0) & END);
	EXPECT_EQ(END, events(self->s.primary, 0) & END);
	EXPECT_EQ(END, events(self->s.server, 0) & END);
	EXPECT_EQ(END, events(observer, 0) & END);
	close(observer);
}

/*
 * Wake-ups
 */
struct poller {
	int fd;
	int ret;
	int64_t when;
	pthread_t thread;
};

static void *poller_main(void *arg)
{
	struct poller *p = arg;

	p->ret = events(p->fd, 10000);
	p->when = vd_now();
	return NULL;
}

static void start(struct poller *p, int fd)
{
	p->fd = fd;
	pthread_create(&p->thread, NULL, poller_main, p);
	vd_sleep_ms(100);
}

TEST_F(poll, woken_by_configuration)
{
	struct poller p;
	int64_t t;

	start(&p, self->s.primary);
	t = vd_now();
	ASSERT_EQ(0, vd_end_config(self->s.server));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLIN, p.ret);
	EXPECT_GT(SEC, p.when - t);
}

TEST_F(poll, woken_by_kick)
{
	struct poller c, d, s;

	ASSERT_EQ(0, begin(self));
	self->c.own->need_wakeup = 1;
	start(&c, self->c.fd);
	ASSERT_EQ(1, vd_produce(&self->d, &self->cmd));
	ASSERT_EQ(0, vd_kick(&self->d));
	pthread_join(c.thread, NULL);
	EXPECT_EQ(POLLIN, c.ret);

	/* the server may sleep on the device and on the set at the same time */
	self->d.own->need_wakeup = 1;
	start(&d, self->d.fd);
	start(&s, self->s.server);
	ASSERT_EQ(1, vd_produce(&self->c, &self->cmd));
	ASSERT_EQ(0, vd_kick(&self->c));
	pthread_join(d.thread, NULL);
	pthread_join(s.thread, NULL);
	EXPECT_EQ(POLLIN, d.ret);
	EXPECT_EQ(POLLIN, s.ret);
}

TEST_F(poll, woken_by_close)
{
	struct poller c, s;

	ASSERT_EQ(0, begin(self));
	start(&c, self->c.fd);
	start(&s, self->s.server);
	ASSERT_EQ(0, vd_device_close(self->d.fd));
	pthread_join(c.thread, NULL);
	pthread_join(s.thread, NULL);
	EXPECT_EQ(POLLHUP, c.ret);
	EXPECT_EQ(POLLHUP, s.ret);
}

TEST_F(poll, woken_by_abort)
{
	struct poller p[3];
	int64_t t;
	int i;

	ASSERT_EQ(0, begin(self));
	start(&p[0], self->c.fd);
	start(&p[1], self->d.fd);
	start(&p[2], self->s.server);
	t = vd_now();
	ASSERT_EQ(0, vd_abort(self->c.fd, VDISET_REASON_SIGNAL, 0, ""));
	for (i = 0; i < 3; i++) {
		pthread_join(p[i].thread, NULL);
		EXPECT_EQ(END, p[i].ret & END);
		/* the delay is tested in abort.c */
		EXPECT_GT(SEC, p[i].when - t);
	}
}

static int epoll_events(int epoll, int timeout_ms)
{
	struct epoll_event ev = { 0 };
	int n = epoll_wait(epoll, &ev, 1, timeout_ms);

	return n < 0 ? -errno : n ? (int)ev.events : 0;
}

TEST_F(poll, epoll_level)
{
	struct epoll_event ev = { .events = EPOLLIN };

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->c.fd, &ev));
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
	ASSERT_LE(0, vd_produce(&self->d, &self->cmd));
	ASSERT_EQ(0, vd_kick(&self->d));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 1000));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
	ASSERT_EQ(0, vd_consume(&self->c, &self->cmd));
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
}

TEST_F(poll, epoll_edge)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int i;

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->c.fd, &ev));
	for (i = 0; i < 3; i++) {
		ASSERT_LE(0, vd_produce(&self->d, &self->cmd));
		ASSERT_EQ(0, vd_kick(&self->d));
		/* each kick is an edge, even if the ring was not empty */
		EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 1000));
		EXPECT_EQ(0, epoll_events(self->epoll, 0));
	}
	ASSERT_EQ(0, vd_abort(self->s.server, VDISET_REASON_SIGNAL, 0, ""));
	EXPECT_EQ(EPOLLERR | EPOLLHUP,
		  epoll_events(self->epoll, 1000) & (EPOLLERR | EPOLLHUP));
}

/* A watched file that is closed leaves nothing in the epoll set. */
TEST_F(poll, epoll_watched_file_closes)
{
	struct epoll_event ev = { .events = EPOLLIN };

	ASSERT_EQ(0, begin(self));
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->c.fd, &ev));
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->d.fd, &ev));
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->s.server, &ev));
	vd_dev_release(&self->c);
	vd_dev_release(&self->d);
	close(self->s.server);
	close(self->s.primary);
	self->s.server = self->s.primary = -1;
	EXPECT_EQ(0, epoll_events(self->epoll, 50));
}

TEST_HARNESS_MAIN

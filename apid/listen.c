/* SPDX-License-Identifier: ISC */
#include "apid/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* Connections that wait for a thread; the kernel cuts it to somaxconn. */
#define LISTEN_BACKLOG 511

/*
 * A connection that says nothing stays in the kernel this long, where it
 * costs no thread.
 */
#define DEFER_SEC 5

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Fill in ADDR from text; the length, or 0 if it is no address. */
static socklen_t
parse_address(const char *text, uint16_t port, union address *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (text[0] == '\0') {
		addr->v6.sin6_family = AF_INET6;
		addr->v6.sin6_addr = in6addr_any;
		addr->v6.sin6_port = htons(port);
		return sizeof(addr->v6);
	}
	if (inet_pton(AF_INET, text, &addr->v4.sin_addr) == 1) {
		addr->v4.sin_family = AF_INET;
		addr->v4.sin_port = htons(port);
		return sizeof(addr->v4);
	}
	if (inet_pton(AF_INET6, text, &addr->v6.sin6_addr) == 1) {
		addr->v6.sin6_family = AF_INET6;
		addr->v6.sin6_port = htons(port);
		return sizeof(addr->v6);
	}
	return 0;
}

static int
listen_on(const union address *addr, socklen_t len, bool both)
{
	_cleanup_fd_ int fd = -1;
	const int on = 1, v6only = !both, defer = DEFER_SEC;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return -errno;
	if (addr->sa.sa_family == AF_INET6 &&
	    setsockopt(
		fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == -1)
		return -errno;
	if (bind(fd, &addr->sa, len) == -1)
		return -errno;
	(void)setsockopt(
	    fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
	if (listen(fd, LISTEN_BACKLOG) == -1)
		return -errno;
	return fd_steal(&fd);
}

static void
explain(const char *address, uint16_t port, int error, char *text, size_t size)
{
	const char *where = address[0] != '\0' ? address : "all addresses";

	switch (error) {
	case EADDRINUSE:
		(void)snprintf(text, size,
		    "cannot listen on %s port %u: another program uses the "
		    "port (see ss -ltnp); set AGENT_HTTP_PORT to a free one",
		    where, port);
		break;
	case EACCES:
		(void)snprintf(text, size,
		    "cannot listen on %s port %u: not permitted; ports below "
		    "net.ipv4.ip_unprivileged_port_start need a privilege "
		    "that apid does not have",
		    where, port);
		break;
	case EADDRNOTAVAIL:
		(void)snprintf(text, size,
		    "cannot listen on %s port %u: no interface has this "
		    "address (AGENT_HTTP_ADDRESS)",
		    where, port);
		break;
	default:
		(void)snprintf(text, size, "cannot listen on %s port %u: %s",
		    where, port, strerror(error));
		break;
	}
}

int
listen_open(const char *address, uint16_t port, char *text, size_t size)
{
	union address addr;
	socklen_t len;
	int fd;

	len = parse_address(address, port, &addr);
	if (len == 0) {
		(void)snprintf(text, size,
		    "AGENT_HTTP_ADDRESS \"%s\" is neither an IPv4 nor an IPv6 "
		    "address",
		    address);
		return -EINVAL;
	}
	fd = listen_on(&addr, len, address[0] == '\0');
	if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) &&
	    address[0] == '\0') {
		/* A kernel without IPv6, or with it switched off. */
		memset(&addr, 0, sizeof(addr));
		addr.v4.sin_family = AF_INET;
		addr.v4.sin_port = htons(port);
		fd = listen_on(&addr, sizeof(addr.v4), false);
	}
	if (fd < 0)
		explain(address, port, -fd, text, size);
	return fd;
}

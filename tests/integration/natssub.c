/* SPDX-License-Identifier: ISC */
/*
 * A small NATS client for the tests and the demo; one program, two names.
 *
 *	natssub URL SUBJECT... [-n COUNT] [-t SECONDS] [-R]
 *		one line {"subject":"..","data":<raw>} a message, at once;
 *		-R says {"ready":true} first, when the subscriptions stand
 *	natspub URL SUBJECT DATA [-r SECONDS] [-H NAME:VALUE]
 *		publish, or with -r request and print the reply
 *
 * Exit status: 0; 1 nothing came in time or the server is away; 64 usage.
 */
#include <nats/nats.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct subscriber {
	pthread_mutex_t mu;
	pthread_cond_t done;
	long want; /* 0: no end */
	long got;
};

static int
usage(void)
{
	(void)fprintf(stderr,
	    "usage: natssub URL SUBJECT... [-n COUNT] [-t SECONDS] [-R]\n"
	    "       natspub URL SUBJECT DATA [-r SECONDS] [-H NAME:VALUE]\n");
	return 64;
}

static int
failed(const char *what, natsStatus s)
{
	const char *text = nats_GetLastError(NULL);

	(void)fprintf(stderr, "%s: %s%s%s\n", what, natsStatus_GetText(s),
	    text != NULL ? ": " : "", text != NULL ? text : "");
	return 1;
}

static void
handle_message(
    natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct subscriber *s = closure;

	(void)pthread_mutex_lock(&s->mu);
	if (s->want == 0 || s->got < s->want) {
		s->got++;
		(void)printf("{\"subject\":\"%s\",\"data\":%.*s}\n",
		    natsMsg_GetSubject(msg), natsMsg_GetDataLength(msg),
		    natsMsg_GetData(msg));
		(void)fflush(stdout);
	}
	if (s->want != 0 && s->got >= s->want)
		(void)pthread_cond_signal(&s->done);
	(void)pthread_mutex_unlock(&s->mu);
	natsMsg_Destroy(msg);
}

static int
wait_for_messages(struct subscriber *s, double seconds)
{
	struct timespec until;
	int r = 0;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)seconds;
	until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&s->mu);
	while (r == 0 && (s->want == 0 || s->got < s->want)) {
		if (seconds > 0)
			r = pthread_cond_timedwait(&s->done, &s->mu, &until);
		else
			r = pthread_cond_wait(&s->done, &s->mu);
	}
	r = s->want == 0 || s->got >= s->want ? 0 : 1;
	(void)pthread_mutex_unlock(&s->mu);
	return r;
}

static natsStatus
connect_to(natsConnection **nc, const char *url)
{
	natsOptions *opts = NULL;
	const char *ca = getenv("NATS_CA"), *creds = getenv("NATS_CREDS");
	const char *cert = getenv("NATS_CERT"), *key = getenv("NATS_KEY");
	natsStatus s = natsOptions_Create(&opts);

	if (s == NATS_OK)
		s = natsOptions_SetURL(opts, url);
	if (s == NATS_OK)
		s = natsOptions_SetMaxReconnect(opts, -1);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectWait(opts, 100);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectJitter(opts, 10, 10);
	if (s == NATS_OK && ca != NULL)
		s = natsOptions_SetSecure(opts, true);
	if (s == NATS_OK && ca != NULL)
		s = natsOptions_LoadCATrustedCertificates(opts, ca);
	if (s == NATS_OK && cert != NULL && key != NULL)
		s = natsOptions_LoadCertificatesChain(opts, cert, key);
	if (s == NATS_OK && creds != NULL)
		s = natsOptions_SetUserCredentialsFromFiles(opts, creds, NULL);
	if (s == NATS_OK)
		s = natsConnection_Connect(nc, opts);
	natsOptions_Destroy(opts);
	return s;
}

static int
run_sub(int argc, char **argv)
{
	struct subscriber sub = { PTHREAD_MUTEX_INITIALIZER,
		PTHREAD_COND_INITIALIZER, 0, 0 };
	natsSubscription *subs[16];
	natsConnection *nc = NULL;
	double seconds = 0;
	bool ready = false;
	natsStatus s;
	int c, i, n;

	while ((c = getopt(argc, argv, "n:t:R")) != -1) {
		if (c == 'n')
			sub.want = strtol(optarg, NULL, 10);
		else if (c == 't')
			seconds = strtod(optarg, NULL);
		else if (c == 'R')
			ready = true;
		else
			return usage();
	}
	n = argc - optind - 1;
	if (n < 1 || n > 16)
		return usage();
	s = connect_to(&nc, argv[optind]);
	for (i = 0; i < n && s == NATS_OK; i++) {
		s = natsConnection_Subscribe(
		    &subs[i], nc, argv[optind + 1 + i], handle_message, &sub);
		if (s == NATS_OK)
			s = natsSubscription_SetPendingLimits(subs[i], -1, -1);
	}
	if (s == NATS_OK)
		s = natsConnection_Flush(nc);
	if (s != NATS_OK)
		return failed(argv[optind], s);
	if (ready) {
		(void)puts("{\"ready\":true}");
		(void)fflush(stdout);
	}
	return wait_for_messages(&sub, seconds);
}

static int
run_pub(int argc, char **argv)
{
	natsConnection *nc = NULL;
	natsMsg *msg = NULL, *reply = NULL;
	double seconds = 0;
	char *header[8], *colon;
	int c, i, headers = 0;
	natsStatus s;

	while ((c = getopt(argc, argv, "r:H:")) != -1) {
		if (c == 'r')
			seconds = strtod(optarg, NULL);
		else if (c == 'H' && headers < 8)
			header[headers++] = optarg;
		else
			return usage();
	}
	if (argc - optind != 3)
		return usage();
	s = connect_to(&nc, argv[optind]);
	if (s == NATS_OK)
		s = natsMsg_Create(&msg, argv[optind + 1], NULL,
		    argv[optind + 2], (int)strlen(argv[optind + 2]));
	for (i = 0; s == NATS_OK && i < headers; i++) {
		colon = strchr(header[i], ':');
		if (colon == NULL)
			return usage();
		*colon = '\0';
		s = natsMsgHeader_Set(msg, header[i], colon + 1);
	}
	if (s == NATS_OK && seconds > 0)
		s = natsConnection_RequestMsg(
		    &reply, nc, msg, (int64_t)(seconds * 1000));
	else if (s == NATS_OK)
		s = natsConnection_PublishMsg(nc, msg);
	if (s == NATS_OK)
		s = natsConnection_Flush(nc);
	if (s != NATS_OK)
		return failed(argv[optind + 1], s);
	if (reply != NULL)
		(void)printf("%.*s\n", natsMsg_GetDataLength(reply),
		    natsMsg_GetData(reply));
	natsMsg_Destroy(reply);
	natsMsg_Destroy(msg);
	natsConnection_Destroy(nc);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	name = name != NULL ? name + 1 : argv[0];
	if (strcmp(name, "natspub") == 0)
		return run_pub(argc, argv);
	return run_sub(argc, argv);
}

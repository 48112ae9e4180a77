/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of the two fetchd: registry and Vault.
 */
#ifndef AGENTD_PEER_FETCH_H
#define AGENTD_PEER_FETCH_H

struct agent;

/*
 * Hand over the TLS files anew, to one that runs: what it does goes on, and
 * if they are of no use it keeps, and says so, the old ones.
 */
void peer_registry_renew_tls(struct agent *agent);
void peer_vault_renew_tls(struct agent *agent);

#endif

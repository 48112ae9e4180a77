# SPDX-License-Identifier: ISC
"""What the integration tests are made of: the agent, the servers it talks
to, artifacts, networks, and a view of the kernel that does not go through
the agent."""

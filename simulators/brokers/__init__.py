"""Brokers as they are run in earnest: started, configured, killed with SIGKILL, started again.

    mosquitto, iotcore     one node: killed, everybody is without a broker
    nats, rabbitmq         three nodes behind a balancer: killed, its clients find the next one

`nodes` says what a broker is to the suite; each broker has a module. `suite` feeds a real outbox
through the real publisher to the real hub, kills the agent's node and then the hub's, and lets
`simulators.fault_oracle` judge. `command` prints the table.
"""

"""An inventory: three hosts, one tunnel each, and a second one for the database of the first."""

BASTION = "tunnel@gw.example.com"

hosts = [
    (
        "lab1.example.com",
        {
            "tunnels": [
                {"port": 2201, "bastion": BASTION, "key": "~/.ssh/id_ed25519"},
                {
                    "port": 2301,
                    "bastion": BASTION,
                    "key": "~/.ssh/id_ed25519",
                    "target": "localhost:5432",
                },
            ]
        },
    ),
    (
        "lab2.example.com",
        {"tunnels": [{"port": 2202, "bastion": BASTION, "key": "~/.ssh/id_ed25519"}]},
    ),
    (
        "lab3.example.com",
        {
            "tunnels": [
                {
                    "port": 2203,
                    "bastion": BASTION,
                    "key": "~/.ssh/id_ed25519",
                    "keepalive": "patient",
                }
            ]
        },
    ),
]

# pyinfra logs in as this user and becomes root with sudo; the tunnels are kept by this user.
all_hosts = (hosts, {"ssh_user": "alice", "_sudo": True})

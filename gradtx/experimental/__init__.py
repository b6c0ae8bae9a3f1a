"""What Optax has in its `experimental`."""

from gradtx.experimental import aggregating as aggregating

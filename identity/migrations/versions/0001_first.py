"""The first shape: people, templates, enrolment requests, purchases, voids.

Written out, not taken from identity.storage: a step must not change when the shape does. Steps go forward only; the way back is the copy
of the database made before an update.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "person",
        sa.Column("person", sa.String(40), primary_key=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("enrolled_unix_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "template",
        sa.Column("template", sa.Integer, primary_key=True),
        sa.Column("person", sa.String(40), sa.ForeignKey("person.person", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "request",
        sa.Column("request_key", sa.String(32), primary_key=True),
        sa.Column("person", sa.String(40), nullable=True),
        sa.Column("probes_kept", sa.Integer, nullable=False),
        sa.Column("consistency", sa.Float, nullable=False),
    )
    op.create_table(
        "purchase",
        sa.Column("purchase_key", sa.String(32), primary_key=True),
        sa.Column("till", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("state", sa.String(12), nullable=False, index=True),
        sa.Column("captured_minor", sa.BigInteger, nullable=False),
        sa.Column("voided_minor", sa.BigInteger, nullable=False),
        sa.Column("account", sa.String(40), nullable=False, index=True),
        sa.Column("code", sa.String(6), nullable=False),
        sa.Column("began_unix_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("settled_unix_ms", sa.BigInteger, nullable=True),
        sa.Column("why", sa.String(80), nullable=False),
        sa.Column("was_authorised", sa.Boolean, nullable=False),
    )
    op.create_table(
        "void",
        sa.Column("void_key", sa.String(32), primary_key=True),
        sa.Column("purchase_key", sa.String(32), sa.ForeignKey("purchase.purchase_key"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("made_unix_ms", sa.BigInteger, nullable=False),
    )

"""Computers have a password for their screen. Those from before get one at the next start of the server."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("computers", sa.Column("vnc_password", sa.Text()))

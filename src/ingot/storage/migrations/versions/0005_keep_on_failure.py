"""Builds whose machine is held when a step fails."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("keep_on_failure", sa.Integer(), nullable=False, server_default="0"))

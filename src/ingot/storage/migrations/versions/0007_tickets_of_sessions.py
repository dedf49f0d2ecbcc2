"""Tickets end with the session that made them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("stream_tickets") as table:
        table.add_column(sa.Column("session", sa.Text(), nullable=True))
        table.create_foreign_key(
            op.f("fk_stream_tickets_session"), "sessions", ["session"], ["hash"], ondelete="CASCADE"
        )
        table.create_index("ix_stream_tickets_session", ["session"])

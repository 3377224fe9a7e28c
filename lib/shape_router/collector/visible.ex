defmodule ShapeRouter.Collector.Visible do
  @moduledoc false
  # Which transactions a snapshot shows.

  import Bitwise

  @typedoc """
  What `pg_current_snapshot()` says; with an LSN before which all it shows has committed, or only such an
  LSN; `nil` shows nothing.
  """
  @type snapshot ::
          nil
          | non_neg_integer()
          | {non_neg_integer(), non_neg_integer(), [non_neg_integer()]}
          | {non_neg_integer(), non_neg_integer(), [non_neg_integer()], non_neg_integer()}

  @doc "Whether it is one."
  @spec snapshot?(term()) :: boolean()
  def snapshot?(nil), do: true
  def snapshot?(lsn) when is_integer(lsn), do: lsn >= 0

  def snapshot?({xmin, xmax, xip, lsn}) when is_integer(lsn) and lsn >= 0,
    do: snapshot?({xmin, xmax, xip})

  def snapshot?({xmin, xmax, xip}) when is_integer(xmin) and is_integer(xmax) and is_list(xip),
    do: xmin >= 0 and xmin <= xmax and Enum.all?(xip, &is_integer/1)

  def snapshot?(_other), do: false

  @doc "Whether the snapshot shows the transaction."
  @spec shows?(snapshot(), non_neg_integer(), non_neg_integer() | nil) :: boolean()
  def shows?(nil, _lsn, _xid), do: false
  def shows?(before, lsn, _xid) when is_integer(before), do: lsn < before

  def shows?({xmin, xmax, xip, before}, lsn, xid),
    do: lsn < before and shows?({xmin, xmax, xip}, lsn, xid)

  def shows?(_snapshot, _lsn, nil), do: false

  def shows?({xmin, xmax, xip}, _lsn, xid) do
    before?(xid, xmin) or (before?(xid, xmax) and not Enum.any?(xip, &(low(&1) == low(xid))))
  end

  # The WAL has the low 32 bits of an xid; within 2^31 of the snapshot they order.
  defp before?(xid, full), do: (low(xid - full) &&& 0x8000_0000) != 0
  defp low(xid), do: xid &&& 0xFFFF_FFFF
end

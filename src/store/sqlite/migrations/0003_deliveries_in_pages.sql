-- Pending deliveries in pages, however many were sent.

CREATE INDEX deliveries_pending ON deliveries (seq) WHERE state = 'pending';

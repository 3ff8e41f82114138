//! The HubSpot connector of Syncline.

//! Accounts: who a person is, and the tokens that prove it. `proto/protogate/auth/v1` is the contract.
//!
//! The service keeps everything in the [store](crate::store), so that several of it are one, and it survives its process. Files: `login` and
//! `forgotten` are the two ways to prove oneself, `families` the logins that follow, `accounts` who there is; `limits` bounds what
//! guessing yields, and the [hasher](super::hasher) what it costs; `names` says what may be chosen, `refusal` how no is
//! said.
//!
//! It believes `protogate-peer`, and the fields `user_id` and `token_id` of requests: whoever reaches it without a gateway in between can
//! be anybody.

mod accounts;
mod families;
mod forgotten;
mod limits;
mod login;
mod names;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

/// The types of `proto/protogate/auth/v1/auth.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.auth.v1");
}

use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

pub(super) use accounts::addresses;
pub(crate) use accounts::key as account_key;
use accounts::{Accounts, User};
use families::{Families, Tokens};
use forgotten::{Confirmation, Forgotten};
use limits::{Limits, Peer};
use login::{Application, Entrance};
pub(super) use names::Email;
use refusal::Refusal;
pub use settings::{Settings, SettingsCell};
use v1::auth_service_server::{AuthService, AuthServiceServer};
use v1::{
    ForgotPasswordRequest, ForgotPasswordResponse, GetUserInfoRequest, GetUserInfoResponse, HeartbeatRequest, HeartbeatResponse,
    LoginRequest, LoginResponse, LogoutRequest, LogoutResponse, RefreshTokenRequest, RefreshTokenResponse, RegisterRequest,
    RegisterResponse,
};

use super::Context;
use super::hasher::Hasher;
use crate::clock::Clock;

/// The largest request: a password, and room for the rest.
const REQUEST_BYTES_MAX: usize = 16 << 10;

struct Auth {
    clock: Clock,
    accounts: Accounts,
    families: Families,
    entrance: Entrance,
    forgotten: Forgotten,
    settings: SettingsCell,
}

/// The service, ready to be served. It sends mail on `runtime`, and is to be called there.
pub fn service(context: Context, hasher: Hasher, runtime: &Handle) -> AuthServiceServer<impl AuthService + use<>> {
    AuthServiceServer::new(Auth::new(context, hasher, runtime)).max_decoding_message_size(REQUEST_BYTES_MAX)
}

// === impl Auth ===

impl Auth {
    fn new(context: Context, hasher: Hasher, runtime: &Handle) -> Auth {
        let Context { store, clock, signing, accounts: settings, outbox } = context;
        let accounts = Accounts::new(store.clone(), clock.clone());
        let families = Families::new(store.clone(), clock.clone(), accounts.clone(), signing);
        let limits = Limits::new(store.clone());
        let forgotten = Forgotten::new(
            (store.clone(), clock.clone()),
            accounts.clone(),
            (families.clone(), hasher.clone(), limits.clone()),
            (settings.clone(), outbox),
            runtime,
        );
        let entrance = Entrance { store, accounts: accounts.clone(), families: families.clone(), hasher, limits };
        Auth { clock, accounts, families, entrance, forgotten, settings }
    }
}

/// What both parts of an answer come to.
fn granted((tokens, user): (Tokens, User)) -> (String, String, i64, Option<v1::User>) {
    let expires_in = i64::try_from(tokens.expires_in.as_secs()).unwrap_or(i64::MAX);
    (tokens.access, tokens.refresh, expires_in, Some(user.shown()))
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let peer = Peer::of(request.metadata());
        let LoginRequest { username, password } = request.into_inner();
        let (access_token, refresh_token, expires_in, user) = granted(self.entrance.login(&username, password, &peer).await?);
        Ok(Response::new(LoginResponse { access_token, refresh_token, expires_in, user }))
    }

    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let RegisterRequest { username, password, email } = request.into_inner();
        let roles = self.settings.load().default_roles.clone();
        let application = Application { username: &username, email: &email, password, roles };
        let (access_token, refresh_token, expires_in, user) = granted(self.entrance.register(application).await?);
        Ok(Response::new(RegisterResponse { access_token, refresh_token, expires_in, user }))
    }

    async fn forgot_password(&self, request: Request<ForgotPasswordRequest>) -> Result<Response<ForgotPasswordResponse>, Status> {
        let peer = Peer::of(request.metadata());
        let ForgotPasswordRequest { email, code, new_password } = request.into_inner();
        if code.is_empty() && new_password.is_empty() {
            self.forgotten.request(&email, &peer).await?;
        } else {
            self.forgotten.confirm(&Confirmation { email, code, new_password }, &peer).await?;
        }
        Ok(Response::new(ForgotPasswordResponse {}))
    }

    async fn refresh_token(&self, request: Request<RefreshTokenRequest>) -> Result<Response<RefreshTokenResponse>, Status> {
        let RefreshTokenRequest { refresh_token } = request.into_inner();
        let (access_token, refresh_token, expires_in, user) = granted(self.families.rotate(&refresh_token).await?);
        Ok(Response::new(RefreshTokenResponse { access_token, refresh_token, expires_in, user }))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        let server_time_ms = i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX);
        Ok(Response::new(HeartbeatResponse { server_time_ms, client_time_ms: request.into_inner().client_time_ms }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let LogoutRequest { user_id, token_id, refresh_token, everywhere } = request.into_inner();
        if user_id.is_empty() {
            return Err(Refusal::NotLoggedIn.into());
        }
        if !refresh_token.is_empty() {
            self.families.end_of_refresh(&refresh_token).await?;
        }
        if everywhere {
            self.families.end_all(&user_id).await?;
        } else if !token_id.is_empty() {
            self.families.end_of_access(&user_id, &token_id).await?;
        }
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_user_info(&self, request: Request<GetUserInfoRequest>) -> Result<Response<GetUserInfoResponse>, Status> {
        let GetUserInfoRequest { user_id } = request.into_inner();
        if user_id.is_empty() {
            return Err(Refusal::NotLoggedIn.into());
        }
        let user = self.accounts.by_id(&user_id).await?.ok_or(Refusal::UserNotFound)?;
        Ok(Response::new(GetUserInfoResponse { user: Some(user.value.shown()) }))
    }
}
